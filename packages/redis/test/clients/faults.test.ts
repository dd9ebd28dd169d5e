import { setTimeout as sleep } from 'node:timers/promises';
import {
  createLocker,
  LockStoreError,
  type Lock,
  type Locker,
  type LockerOptions,
} from '@holdfast/core';
import { redisScripts, redisStore, type AnyRedisClient } from '@holdfast/redis';
import { redisCommand } from '@holdfast/test-servers';
import { describe, expect } from 'vitest';
import { isFree } from '../kit.ts';
import { fails, test, until, waiting, type Site } from '../site.ts';
import { clientKind, type SingleOptions } from './index.ts';

// What befalls a client, of whichever library: one suite for all.

const { name } = clientKind;

async function clientOf(site: Site, options: Partial<SingleOptions> = {}): Promise<AnyRedisClient> {
  const { host, port } = site.proxy;
  const made = await clientKind.single({ host, port, ...options });
  site.onEnd(() => made.close());
  return made.client;
}

/** As in a process of its own, with its connection there. */
async function lockerOf(
  site: Site,
  options: LockerOptions = {},
  how: Partial<SingleOptions> = {},
): Promise<Locker> {
  return site.locker(options, await clientOf(site, how));
}

/** A busy machine is not what these are about: a cut is an error at once, and not a time-out. */
const CALM = { ttl: 60_000, storeTimeout: 15_000 };

async function warm(
  site: Site,
  options: LockerOptions = CALM,
  how: Partial<SingleOptions> = {},
): Promise<Locker> {
  const locker = await lockerOf(site, options, how);
  await locker.withLock('warm-up', () => {});
  return locker;
}

/** Releases a lock, which must be free soon. On a busy machine its holder may be told `false` before that. */
async function releaseFrees(site: Site, lock: Lock): Promise<void> {
  expect((await fails(lock.release())).error).toBeUndefined();
  expect((await site.locker(CALM).lock(lock.key, { wait: 20_000 })).state).toBe('held');
}

async function nothingIsLeft(site: Site): Promise<void> {
  await until('nothing is left', async () => {
    const keys = await site.admin.keys('*');
    // A key of another type is the queue of a lock, and so is left over.
    const free = keys.map((key) => isFree(site.admin, key).catch(() => false));
    return (await Promise.all(free)).every(Boolean);
  });
}

const cuts: Record<string, (site: Site) => void> = {
  'before the server gets it': ({ proxy }) => proxy.cutNextRequest(),
  'before the reply, with a reset': ({ proxy }) => proxy.cutNextReply({ reset: true }),
  'before the reply, in order': ({ proxy }) => proxy.cutNextReply({ reset: false }),
  'in the middle of the reply': ({ proxy }) => proxy.truncateNextReply(3),
};

const ways: readonly [how: string, Partial<SingleOptions>][] = clientKind.maySendAgain
  ? [
      [', and what has no answer is sent again', { resends: true }],
      [', and nothing is sent again', { resends: false }],
    ]
  : [['', {}]];

describe.concurrent.each(
  Object.entries(cuts).flatMap(([where, cut]) =>
    ways.map(([how, options]) => [`${where}${how}`, cut, options] as const),
  ),
)(`a connection of ${name} that is cut %s`, (_, cut, options) => {
  const connect = (site: Site): Promise<Locker> => warm(site, CALM, options);

  test('while a lock is acquired: it is granted once', async ({ site }) => {
    const locker = await connect(site);
    cut(site);
    const lock = await locker.lock('key', { wait: 20_000 });
    expect(lock.state).toBe('held');
    expect(await locker.inspect('key')).toMatchObject({ fencingToken: lock.fencingToken });
    await lock.extend();
    expect(await site.locker(CALM).tryLock('key')).toBeNull();
    await releaseFrees(site, lock);
  });

  test('while a lock is tried: it is held, or an error and free', async ({ site }) => {
    const locker = await connect(site);
    cut(site);
    const lock = await locker.tryLock('key').catch((error: unknown) => {
      expect(error).toBeInstanceOf(LockStoreError);
    });
    expect(lock).not.toBeNull();
    if (lock instanceof Object) await releaseFrees(site, lock);
    else expect((await site.locker().lock('key', { wait: 20_000 })).state).toBe('held');
  });

  test('while a lock is renewed: it stays held', async ({ site }) => {
    const locker = await connect(site);
    const lock = await locker.lock('key');
    cut(site);
    await lock.extend(80_000).catch((error: unknown) => {
      expect(error).toBeInstanceOf(LockStoreError);
    });
    expect(lock.state).toBe('held');
    await until('it is renewed', async () => (await fails(lock.extend())).error === undefined);
    await releaseFrees(site, lock);
  });

  test('while a lock is released: it is free', async ({ site }) => {
    const locker = await connect(site);
    const lock = await locker.lock('key');
    cut(site);
    await releaseFrees(site, lock);
  });

  test('while others wait: they are served', async ({ site }) => {
    const lock = await (await connect(site)).lock('key');
    const other = await connect(site);
    const { taken } = await waiting(other, () => other.lock('key', { wait: 30_000 }));
    cut(site);
    // Whatever comes next: a refresh, or the subscription.
    await sleep(700);
    await lock.release();
    expect((await taken).state).toBe('held');
  });

  test('while a waiter leaves: the next is served', async ({ site }) => {
    const lock = await (await connect(site)).lock('key');
    const [leaving, other] = [await connect(site), await connect(site)];
    const controller = new AbortController();
    const { taken: left } = await waiting(leaving, () =>
      leaving.lock('key', { signal: controller.signal }),
    );
    const { taken } = await waiting(other, () => other.lock('key', { wait: 30_000 }));
    cut(site);
    controller.abort();
    await fails(left);
    await lock.release();
    expect((await taken).state).toBe('held');
  });
});

describe.concurrent(`with ${name}`, () => {
  test('a request that a frozen server never answers is given up, and its late grant taken back', async ({
    site,
  }) => {
    const locker = await warm(site, { ttl: 60_000, storeTimeout: 300 });
    await site.freeze();
    const attempts = ['a', 'b', 'c'].map((key) => fails(locker.tryLock(key)));
    for (const { error } of await Promise.all(attempts)) {
      expect(error).toBeInstanceOf(LockStoreError);
    }
    site.server.thaw();
    await nothingIsLeft(site);
  });

  test('a request that is under way when its caller gives up leaves nothing behind', async ({
    site,
  }) => {
    const locker = await warm(site, { ttl: 60_000 });
    site.proxy.delayRequests(300);
    const controller = new AbortController();
    const attempt = fails(locker.lock('key', { signal: controller.signal }));
    setTimeout(() => controller.abort(new Error('enough')), 100);
    expect((await attempt).error).toMatchObject({ message: 'enough' });
    await sleep(700);
    await nothingIsLeft(site);
  });

  test('a late grant is the grant of who still waits', async ({ site }) => {
    const locker = await warm(site, { ttl: 60_000, storeTimeout: 300 });
    await site.freeze();
    let thawed = false;
    const lock = locker.lock('key', { wait: 30_000 }).then((taken) => ({ taken, thawed }));
    // Until a request has been given up.
    await new Promise((resolve) => locker.on('store-error', resolve));
    thawed = true;
    site.server.thaw();
    const { taken, ...then } = await lock;
    expect(then).toEqual({ thawed: true });
    const info = await site.locker().inspect('key');
    expect(info).toMatchObject({ fencingToken: taken.fencingToken });
    await taken.release();
    await nothingIsLeft(site);
  });

  test('all who wait are served, one after the other', async ({ site }) => {
    const lock = await (await lockerOf(site)).lock('key');
    const tokens = [lock.fencingToken];
    const served: Promise<void>[] = [];
    for (let waiters = 0; waiters < 8; waiters++) {
      const locker = await lockerOf(site);
      const { taken } = await waiting(locker, () => locker.lock('key'));
      served.push(
        taken.then(async (held) => {
          tokens.push(held.fencingToken);
          await held.release();
        }),
      );
    }
    await lock.release();
    await Promise.all(served);
    expect(tokens).toHaveLength(9);
    expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
  });

  test('scripts that the server has forgotten are sent again', async ({ site }) => {
    const locker = await warm(site);
    await site.admin.script('FLUSH');
    const lock = await locker.lock('key');
    expect(await lock.release()).toBe(true);
  });

  test('a server that comes back without the lock is a loss, told before the next renewal', async ({
    site,
  }) => {
    const locker = await warm(site, { ttl: 120_000 });
    const lock = await locker.lock('key');
    await until('messages are listened to', async () => {
      const channels = (await site.admin.pubsub('CHANNELS', 'holdfast:*')) as string[];
      return channels.length === 1;
    });
    await site.restart();
    site.proxy.cutAll();
    await until('the loss is told', () => lock.state === 'lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'evicted' });
  });

  test.for([
    ['foreign data', ['SET', '{holdfast:key}', 'theirs'], /cannot read/],
    ['a lack of memory', ['CONFIG', 'SET', 'maxmemory', '1'], /failed/],
    ['a replica', ['REPLICAOF', '127.0.0.1', '1'], /failed/],
  ] as const)('%s is an error in the same words', async ([, command, message], { site }) => {
    const locker = await warm(site);
    await redisCommand(site.server, ...command);
    const { error } = await fails(locker.tryLock('key'));
    expect(error).toBeInstanceOf(LockStoreError);
    expect((error as Error).message).toMatch(message);
    expect(String((error as Error).cause)).toMatch(/HOLDFAST|OOM|READONLY/);
  });

  test('a right that is missing is named', async ({ site }) => {
    const rights = ['on', '>secret', '~*', '&*', '+@all', '-eval'];
    await redisCommand(site.server, 'ACL', 'SETUSER', 'limited', ...rights);
    const locker = await lockerOf(site, {}, { username: 'limited', password: 'secret' });
    const { error } = await fails(locker.tryLock('key'));
    expect(error).toMatchObject({ permanent: true });
    expect((error as Error).message).toMatch(/may not run EVAL: grant it `\+eval`/);
  });

  test('messages that may not be listened to are missed, and told of once', async ({ site }) => {
    const rights = ['on', '>secret', '~*', '+@all', 'resetchannels'];
    await redisCommand(site.server, 'ACL', 'SETUSER', 'mute', ...rights);
    const locker = await lockerOf(site, {}, { username: 'mute', password: 'secret' });
    const warned = new Promise((resolve) => locker.on('warning', resolve));
    await locker.lock('held for a while');
    expect(await warned).toMatchObject({ code: 'HOLDFAST_REDIS_NO_MESSAGES' });
  });

  test('the connection for messages ends with the last locker, and the client stays', async ({
    site,
  }) => {
    const client = await clientOf(site);
    const locker = createLocker({ store: redisStore(client) });
    const channels = async (): Promise<number> =>
      ((await site.admin.pubsub('CHANNELS', 'holdfast:*')) as string[]).length;
    await locker.lock('key');
    await until('messages are listened to', async () => (await channels()) === 1);
    await locker.close();
    await until('nobody listens', async () => (await channels()) === 0);
    const again = createLocker({ store: redisStore(client) });
    expect(await again.tryLock('key')).not.toBeNull();
    await again.close();
  });

  test('runs scripts of others, and refuses in the words of the server', async ({ site }) => {
    const scripts = redisScripts(await clientOf(site));
    const source = "return {KEYS[1], ARGV[1], 7, false, redis.status_reply('OK')}";
    const answer = ['{key}', 'text', 7, null, 'OK'];
    expect(await scripts.eval(source, 1, ['{key}', 'text'])).toEqual(answer);
    const sha = (await site.admin.script('LOAD', source)) as string;
    expect(await scripts.evalsha(sha, 1, ['{key}', 'text'])).toEqual(answer);
    await expect(scripts.evalsha('0'.repeat(40), 0, [])).rejects.toThrow(/^NOSCRIPT /);
    const wrong = scripts.eval("return redis.error_reply('OWN words')", 0, []);
    await expect(wrong).rejects.toThrow(/^OWN words/);
  });

  test('a client that was closed is told at once, also by who waits', async ({ site }) => {
    const { host, port } = site.proxy;
    const made = await clientKind.single({ host, port });
    const locker = site.locker({}, made.client);
    await locker.withLock('warm-up', () => {});
    await made.close();
    for (const attempt of [() => locker.tryLock('key'), () => locker.lock('key')]) {
      const { error } = await fails(attempt());
      expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: true });
      expect((error as Error).message).toMatch(/not connected/);
    }
  });
});

describe(`giving up, with ${name}`, () => {
  test('leaves nothing behind after 300 aborts around the grant', async ({ site }) => {
    const locker = await warm(site, { ttl: 60_000 });
    const attempts: Promise<unknown>[] = [];
    for (let round = 0; round < 300; round++) {
      const controller = new AbortController();
      const attempt = locker.lock(`key:${round % 10}`, { signal: controller.signal }).then(
        (lock) => lock.release(),
        () => {},
      );
      if (round % 3 === 0) await Promise.resolve();
      if (round % 3 === 1) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      // Some by themselves, some together with those before.
      attempts.push(attempt);
      if (round % 5 === 0) await attempt;
    }
    await Promise.all(attempts);
    await nothingIsLeft(site);
  });
});

// By itself: nothing else is served meanwhile.
describe(`a burst, with ${name}`, () => {
  test('thousands of locks are asked for in one turn', async ({ site }) => {
    const locker = await warm(site, { ttl: 120_000, storeTimeout: 30_000 });
    const keys = Array.from({ length: 10_000 }, (_, index) => `burst:${index}`);
    const locks = await Promise.all(keys.map((key) => locker.tryLock(key)));
    expect(locks.every((lock) => lock?.state === 'held')).toBe(true);
    await Promise.all(locks.map(async (lock) => lock?.release()));
    await until('all are free', async () => (await locker.list()).locks.length === 0);
  });
});
