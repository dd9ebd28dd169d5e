import { setTimeout as sleep } from 'node:timers/promises';
import { LockStoreError, type Locker } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, test, until, waiting, type Site } from './site.ts';
import { isFree } from './kit.ts';

/** The connection is cut in the middle of a command: before, in and after its execution. */
const cuts: Record<string, (site: Site) => void> = {
  'before the server gets it': ({ proxy }) => proxy.cutNextRequest(),
  'before the reply, with a reset': ({ proxy }) => proxy.cutNextReply({ reset: true }),
  'before the reply, in order': ({ proxy }) => proxy.cutNextReply({ reset: false }),
  'in the middle of the reply': ({ proxy }) => proxy.truncateNextReply(3),
};

/** What a client may do about it. ioredis sends again by default, so the server may get it twice. */
const clients: Record<string, Record<string, unknown>> = {
  '': {},
  ', and nothing is sent again': { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 },
};

for (const [where, cut] of Object.entries(cuts)) {
  describe.concurrent.each(Object.entries(clients))(
    `a connection that is cut ${where}%s`,
    (_, options: Record<string, unknown>) => {
      /** A locker whose connection is there, and for whose wait lists nothing is under way. */
      const warm = async (site: Site): Promise<Locker> => {
        const locker = site.locker({ ttl: 30_000 }, site.client(options));
        await locker.withLock('warm-up', () => {});
        return locker;
      };

      test('grants the lock once when the cut comes during an acquisition', async ({ site }) => {
        const locker = await warm(site);
        cut(site);
        const lock = await locker.lock('key', { wait: 10_000 });
        expect(lock.state).toBe('held');
        const info = await locker.inspect('key');
        expect(info).toMatchObject({ owner: lock.owner, fencingToken: lock.fencingToken });
        await lock.extend();
        expect(await site.locker().tryLock('key')).toBeNull();
        expect(await lock.release()).toBe(true);
        expect((await site.locker().tryLock('key'))?.state).toBe('held');
      });

      test('leaves the lock held, or an error and a free key, when the cut comes during a try', async ({
        site,
      }) => {
        const locker = await warm(site);
        cut(site);
        const lock = await locker.tryLock('key').catch((error: unknown) => {
          expect(error).toBeInstanceOf(LockStoreError);
        });
        // Not null: nobody has it.
        expect(lock).not.toBeNull();
        if (lock instanceof Object) expect(await lock.release()).toBe(true);
        expect((await site.locker().lock('key', { wait: 10_000 })).state).toBe('held');
      });

      test('keeps the lock when the cut comes during a renewal', async ({ site }) => {
        const locker = await warm(site);
        const lock = await locker.lock('key');
        cut(site);
        await lock.extend(40_000).catch((error: unknown) => {
          expect(error).toBeInstanceOf(LockStoreError);
        });
        expect(lock.state).toBe('held');
        await lock.extend();
        expect(await lock.release()).toBe(true);
      });

      test('frees the lock when the cut comes during a release', async ({ site }) => {
        const locker = await warm(site);
        const lock = await locker.lock('key');
        cut(site);
        const { error, after } = await fails(lock.release());
        expect(error).toBeUndefined();
        expect(after).toBeLessThan(2_000);
        expect((await site.locker().lock('key', { wait: 10_000 })).state).toBe('held');
      });

      test('serves those who wait when the cut comes during their wait', async ({ site }) => {
        const lock = await (await warm(site)).lock('key');
        const other = await warm(site);
        const { taken } = await waiting(other, () => other.lock('key', { wait: 20_000 }));
        cut(site);
        // Whatever comes next: a refresh, or the subscription.
        await sleep(700);
        await lock.release();
        expect((await taken).state).toBe('held');
      });

      test('serves the next when the cut comes while a waiter leaves', async ({ site }) => {
        const lock = await (await warm(site)).lock('key');
        const [leaving, other] = [await warm(site), await warm(site)];
        const controller = new AbortController();
        const { taken: left } = await waiting(leaving, () =>
          leaving.lock('key', { signal: controller.signal }),
        );
        const { taken } = await waiting(other, () => other.lock('key', { wait: 20_000 }));
        cut(site);
        controller.abort();
        await fails(left);
        await lock.release();
        expect((await taken).state).toBe('held');
      });
    },
  );
}

describe.concurrent('who has given up leaves nothing behind', () => {
  const nothing = async (site: Site): Promise<boolean> =>
    (await Promise.all((await site.admin.keys('*')).map((name) => isFree(site.admin, name)))).every(
      Boolean,
    );

  test('leaves nothing behind after a time-out', async ({ site }) => {
    const locker = site.locker({ storeTimeout: 300, ttl: 60_000 });
    await locker.withLock('warm-up', () => {});
    site.proxy.delayReplies(600);
    const results = await Promise.all(['a', 'b', 'c'].map((key) => fails(locker.tryLock(key))));
    for (const { error } of results) expect(error).toBeInstanceOf(LockStoreError);
    // The replies come after all.
    await sleep(700);
    await until('nothing is left', () => nothing(site), 10_000);
  });

  test('leaves nothing behind after an abort with the request under way', async ({ site }) => {
    const locker = site.locker({ ttl: 60_000 });
    await locker.withLock('warm-up', () => {});
    site.proxy.delayRequests(300);
    const controller = new AbortController();
    const attempt = fails(locker.lock('key', { signal: controller.signal }));
    setTimeout(() => controller.abort(new Error('enough')), 100);
    const { error, after } = await attempt;
    expect(error).toMatchObject({ message: 'enough' });
    expect(after).toBeLessThan(280);
    await sleep(700);
    await until('nothing is left', () => nothing(site), 10_000);
  });

  test('leaves nothing behind after 300 aborts around the grant', async ({ site }) => {
    const locker = site.locker({ ttl: 60_000 });
    for (let round = 0; round < 300; round++) {
      const controller = new AbortController();
      const attempt = locker.lock(`key:${round % 10}`, { signal: controller.signal }).then(
        (lock) => lock.release(),
        () => {},
      );
      if (round % 3 === 0) await Promise.resolve();
      if (round % 3 === 1) await sleep(0);
      controller.abort();
      await attempt;
    }
    await until('nothing is left', () => nothing(site), 10_000);
  });
});
