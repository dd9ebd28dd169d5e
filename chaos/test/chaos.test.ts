import { expect, test } from 'vitest';
import { faults } from '../src/faults.ts';
import { History } from '../src/history.ts';
import { run } from '../src/run.ts';

test('nobody overlaps, whatever is killed, frozen or cut off', { timeout: 240_000 }, async () => {
  const report = await run(5);
  expect(report.problems).toEqual([]);
  expect(Object.keys(report.faults)).toEqual(Object.keys(faults));
  // Every task of every process finished one at least.
  expect(report.history.rounds).toBeGreaterThanOrEqual(8 * 3);
  expect(report.history.grants).toBeGreaterThan(8);
});

test('the history notices holders that overlap and tokens that do not grow', () => {
  const history = new History();
  const hold = (token: number, from: number, to: number): void => {
    history.note({ what: 'began', key: 'a', token, at: from });
    history.note({ what: 'held', key: 'a', token, at: to });
  };
  hold(1, 10, 20);
  hold(2, 20, 30);
  expect(history.violations()).toEqual([]);
  hold(3, 29, 40);
  expect(history.violations()).toHaveLength(1);
  hold(4, 41, 50);
  hold(3.5, 51, 60);
  expect(history.violations()).toHaveLength(2);
  hold(4, 70, 80);
  expect(history.failures).toHaveLength(1);
});
