import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { test } from './site.ts';

describe.concurrent('a server that is far away', () => {
  test('serves processes that contend, although each reservation is over before it can be used', async ({
    site,
  }) => {
    // A reservation lasts 500 ms.
    const lockers = [0, 1, 2].map(() => site.locker({ ttl: 20_000, storeTimeout: 5_000 }));
    await Promise.all(lockers.map((locker) => locker.withLock('warm-up', () => {})));
    site.proxy.delayReplies(700);
    const tokens: number[] = [];
    let holders = 0;
    await Promise.all(
      lockers.map(async (locker) => {
        for (let round = 0; round < 2; round++) {
          await locker.withLock('key', async ({ fencingToken }) => {
            holders += 1;
            expect(holders).toBe(1);
            tokens.push(fencingToken);
            await turn();
            holders -= 1;
          });
        }
      }),
    );
    expect(tokens).toHaveLength(6);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  });
});
