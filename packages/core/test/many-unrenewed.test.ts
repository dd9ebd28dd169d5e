import { expect, test, vi } from 'vitest';
import { HeldLocks } from '../src/hold/held-locks.ts';
import { bench } from './kit.ts';

test('locks that are not renewed end in time, without a look at all of them for each', async () => {
  const { locker, clock } = bench();
  const one = locker();
  const locks = await Promise.all(
    Array.from({ length: 2_000 }, (_, index) =>
      one.lock(`k${index}`, { ttl: 10_000 + index, renew: false }),
    ),
  );
  const looks = vi.spyOn(HeldLocks.prototype, 'values');
  let lost = 0;
  one.on('lost', () => (lost += 1));
  // The margin is a tenth of the ttl: the last one ends at 10,799 ms.
  await clock.advance(9_500);
  expect(lost).toBe(locks.filter(({ state }) => state === 'lost').length);
  expect(lost).toBeGreaterThan(300);
  expect(lost).toBeLessThan(700);
  await clock.advance(2_000);
  expect(lost).toBe(2_000);
  expect(looks.mock.calls.length).toBeLessThan(20);
  looks.mockRestore();
});

test('a lock taken meanwhile ends in time too', async () => {
  const { locker, clock } = bench();
  const one = locker();
  const lost: string[] = [];
  one.on('lost', ({ key }) => lost.push(`${key} at ${clock.now()}`));
  await one.lock('a', { ttl: 1_000, renew: false });
  await one.lock('b', { ttl: 1_100, renew: false });
  await clock.advance(850);
  await one.lock('c', { ttl: 100, renew: false });
  await one.lock('d', { ttl: 1_000, maxHold: 80 });
  await clock.advance(3_000);
  expect(lost).toEqual(['a at 900', 'c at 925', 'd at 930', 'b at 990']);
});
