import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { outcomeOf } from '../src/outcome.ts';
import { Random } from '../src/random.ts';
import { attack, run } from '../src/run.ts';
import { targets } from '../src/targets/index.ts';
import type { Target } from '../src/target.ts';

/** Another one is `pnpm fuzz --seed`. */
const SEED = 1;

test('2,000 hostile inputs crash nothing, block nothing and grant nothing', async () => {
  const reports = await run(2_000, SEED);
  expect(reports.map(({ name }) => name)).toEqual(targets.map(({ name }) => name));
  expect(reports.flatMap(({ problems }) => problems)).toEqual([]);
  const sent = reports.reduce((sum, { inputs }) => sum + inputs, 0);
  expect(sent).toBeGreaterThanOrEqual(2_000);
}, 240_000);

const nothing: Target = {
  attack: () => Promise.resolve(undefined),
  check: () => Promise.resolve(undefined),
  stop: () => Promise.resolve(),
};

/** What is said of a target that is not as it should be. */
async function problemsOf(target: Partial<Target>): Promise<string> {
  const start = (): Promise<Target> => Promise.resolve({ ...nothing, ...target });
  const { problems } = await attack({ name: 'planted', share: 1, start }, 50, SEED);
  return problems.join('\n');
}

test('nothing is said of a target that is as it should be', async () => {
  expect(await problemsOf({})).toBe('');
});

test('a block of the event loop that comes each time is found, with its input', async () => {
  const problems = await problemsOf({
    attack: async (random) => {
      // Of one input alone.
      if (random.below(1e6) !== new Random(Math.imul(SEED, 0x9e3779b1) + 30).below(1e6)) return;
      const computed = (): number => process.cpuUsage().user + process.cpuUsage().system;
      for (const from = computed(); computed() - from < 80_000;);
      await sleep(5);
    },
  });
  expect(problems).toMatch(/input 30 blocks the event loop/);
});

test('an answer that nothing may give, and a broken target, are found', async () => {
  const attacked = await problemsOf({ attack: () => Promise.resolve('two hold one key') });
  expect(attacked).toMatch(/input 0: two hold one key/);
  const checked = await problemsOf({ check: () => Promise.resolve('it is broken') });
  expect(checked).toMatch(/it is broken\nwhile inputs 0 to 24/);
});

test('an error that nobody caught is found', async () => {
  // The test runner would fail this test for it.
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  onTestFinished(() => {
    for (const listener of listeners) process.on('unhandledRejection', listener);
  });
  const problems = await problemsOf({
    attack: async () => {
      void Promise.reject(new Error('escaped'));
    },
  });
  expect(problems).toMatch(/nobody caught Error: escaped/);
});

test('a call that rejects with an error that is none of ours is found', async () => {
  const { problem } = await outcomeOf('a call', () => Promise.reject(new TypeError('oops')));
  expect(problem).toBe('a call rejected with TypeError: oops');
  const error = Object.assign(new Error('busy'), { code: 'LOCK_NOT_ACQUIRED' });
  expect(await outcomeOf('a call', () => Promise.reject(error))).toEqual({});
});

test('a seed and the number of an input always make the same input', () => {
  const inputs = (seed: number): unknown[] => {
    const random = new Random(seed);
    return Array.from({ length: 200 }, () => [random.json(), random.mutate('lost a b c {d}')]);
  };
  expect(inputs(7)).toEqual(inputs(7));
  expect(inputs(7)).not.toEqual(inputs(8));
});
