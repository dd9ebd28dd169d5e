import { LockArgumentError, LockStoreError } from '@holdfast/core';
import { Client } from 'memjs';
import { describe, expect, vi } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { Site, test, until } from './kit/site.ts';

/** In every way in which a reply that the server has sent does not arrive. */
const lostReplies: Record<string, (site: Site) => void> = {
  'the connection is reset': ({ proxy }) => proxy.cutNextReply(),
  'the server closes the connection': ({ proxy }) => proxy.cutNextReply({ reset: false }),
  'the reply is cut short': ({ proxy }) => proxy.truncateNextReply(10),
  'the reply is cut after its first byte': ({ proxy }) => proxy.truncateNextReply(1),
};

for (const [what, lose] of Object.entries(lostReplies)) {
  describe.concurrent(`when ${what}`, () => {
    test('a lock that was granted is recognised as our own', async ({ site }) => {
      const [locker, other] = [site.locker(), site.locker()];
      lose(site);
      const lock = await locker.lock('key', { wait: 20_000 });
      expect(await other.tryLock('key')).toBeNull();
      expect(lock.state).toBe('held');
      expect(await lock.release()).toBe(true);
      expect(await site.value('holdfast:key')).toBeUndefined();
    });

    test('a single attempt is settled too', async ({ site }) => {
      const locker = site.locker();
      lose(site);
      const lock = await locker.tryLock('key');
      expect(lock?.state).toBe('held');
      expect(await lock?.release()).toBe(true);
    });

    test('a renewal is not taken for a loss, though the CAS id has changed', async ({ site }) => {
      const locker = site.locker();
      const lock = await locker.lock('key');
      const before = await site.item('holdfast:key');
      lose(site);
      await lock.extend();
      const after = await site.item('holdfast:key');
      expect(after?.cas).toBeGreaterThan(before?.cas ?? Infinity);
      expect(lock.signal.aborted).toBe(false);
      expect(await lock.release()).toBe(true);
    });

    test('a release does not free the next holder', async ({ site }) => {
      const [locker, other] = [site.locker(), site.locker()];
      const lock = await locker.lock('key');
      lose(site);
      const [, next] = await Promise.all([lock.release(), other.lock('key', { wait: 20_000 })]);
      await lock.release();
      next.assertHeld();
      expect(await next.release()).toBe(true);
    });

    test('later requests are answered, and rightly', async ({ site }) => {
      const locker = site.locker();
      lose(site);
      for (let round = 0; round < 20; round++) {
        const locks = await Promise.all(
          Array.from({ length: 20 }, (_, index) => locker.lock(`key:${index}`, { wait: 20_000 })),
        );
        const freed = await Promise.all(locks.map((lock) => lock.release()));
        expect(freed).not.toContain(false);
      }
    });
  });
}

describe.concurrent('memjs', () => {
  test('has no time-out of its own over locks', async ({ site }) => {
    const locker = site.locker({}, site.client({ timeout: 0.2, retries: 1 }));
    site.proxy.delayReplies(600);
    const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.tryLock(key)));
    expect(locks.map((lock) => lock?.state)).toEqual(['held', 'held', 'held']);
  });

  test('may have counted its requests to where it breaks', async ({ site }) => {
    const client = site.client();
    const start = 2 ** 31 - 5;
    Object.assign(client, { seq: start });
    const locker = site.locker({}, client);
    for (let round = 0; round < 20; round++) await locker.withLock('key', () => {});
    expect(client.seq).toBe(start);
  });

  test('goes on serving its user, who notices nothing', async ({ site }) => {
    const client = site.client();
    const before = { ...client.options };
    await client.set('user', 'data', { expires: 60 });
    const locker = site.locker({}, client);
    const reads: Promise<{ value: Buffer | null }>[] = [];
    for (let round = 0; round < 200; round++) {
      reads.push(client.get('user'));
      await locker.withLock('key', () => {});
    }
    for (const { value } of await Promise.all(reads)) expect(String(value)).toBe('data');
    await locker.close();
    expect(String((await client.get('user')).value)).toBe('data');
    expect(client.options).toEqual(before);
  });

  test('refuses a client with `failover`: one key could be held on two servers', () => {
    const client = Client.create('127.0.0.1:1', { failover: true });
    expect(() => memcachedStore(client)).toThrow(LockArgumentError);
    expect(() => memcachedStore(client)).toThrow(/failover/);
  });
});

describe.concurrent('leases', () => {
  test('lets leases of fractions and of the least ttl run out', async ({ site }) => {
    const locker = site.locker();
    const locks = [
      await locker.lock('least', { ttl: 2_000, renew: false }),
      await locker.lock('fraction', { ttl: 2_000.5, renew: false }),
    ];
    expect(await site.value('holdfast:least')).toBeDefined();
    expect(await site.value('holdfast:fraction')).toBeDefined();
    await until('the items are gone', async () => {
      const values = ['least', 'fraction'].map((key) => site.value(`holdfast:${key}`));
      return (await Promise.all(values)).every((value) => value === undefined);
    });
    for (const lock of locks) expect(lock.state).toBe('lost');
  });

  test('refuses leases below the least ttl before any request', async ({ site }) => {
    const locker = site.locker();
    for (const ttl of [0, 0.5, 500, 1_999, -1, Number.NaN]) {
      await expect(locker.tryLock('key', { ttl })).rejects.toBeInstanceOf(LockArgumentError);
    }
    expect(site.proxy.requests).toBe(0);
  });
});

describe.concurrent('a server without CAS ids', () => {
  test('refuses a server without CAS ids, whether or not the key is held', async () => {
    const site = await Site.start(['-C']);
    try {
      const locker = site.locker();
      await site.ask('set holdfast:held 0 60 1\r\nx');
      for (const key of ['free', 'held']) {
        const error = await locker.lock(key).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).toBeInstanceOf(LockStoreError);
        expect(error).toMatchObject({ permanent: true, phase: 'acquire', key });
        expect(String(error)).toMatch(/CAS/);
      }
      await expect(locker.forceRelease('held')).rejects.toBeInstanceOf(LockStoreError);
      expect(await site.ask('get holdfast:held')).toContain('x');
    } finally {
      await site.end();
    }
  });
});

test('memjs writes nothing on the console, and its logger stays', async ({ site }) => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  const client = site.client();
  const locker = site.locker({}, client);
  await locker.withLock('key', () => {});
  await site.server.kill();
  await expect(locker.tryLock('key')).rejects.toBeInstanceOf(LockStoreError);
  expect(log).not.toHaveBeenCalled();
  expect(Reflect.get(client.options, 'logger')).toBe(console);
  log.mockRestore();
});
