import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { describe, expect } from 'vitest';
import { documentedRights } from './documented-rights.ts';
import { test, until, waiting, type Site } from './site.ts';

interface Place {
  readonly namespace: string;
  readonly keyPrefix: string;
}

interface Tenant {
  readonly client: Redis;
  readonly locker: Locker;
  readonly warnings: string[];
}

/** A user with no more rights than the README asks for, for a namespace and a prefix. */
async function tenant(site: Site, { namespace, keyPrefix }: Place): Promise<Tenant> {
  const username = `${keyPrefix}${namespace}`;
  const rights = await documentedRights(namespace, keyPrefix);
  await site.admin.acl('SETUSER', username, 'reset', 'on', '>secret', ...rights);
  const client = site.client({ username, password: 'secret', keyPrefix });
  const locker = createLocker({ store: redisStore(client), namespace, ttl: 60_000 });
  const warnings: string[] = [];
  locker.on('warning', ({ code }) => warnings.push(code));
  site.onEnd(() => locker.close());
  return { client, locker, warnings };
}

/** Of the store, whatever its cause. */
const REFUSED = { code: 'LOCK_STORE_UNAVAILABLE' };

const pairs: Record<string, readonly [ours: Place, theirs: Place]> = {
  'of another namespace': [
    { namespace: 'ours', keyPrefix: '' },
    { namespace: 'theirs', keyPrefix: '' },
  ],
  'of another key prefix': [
    { namespace: 'same', keyPrefix: 'ours:' },
    { namespace: 'same', keyPrefix: 'theirs:' },
  ],
  'whose prefix looks like our namespace': [
    { namespace: 'ours', keyPrefix: '' },
    { namespace: 'theirs', keyPrefix: 'ours:' },
  ],
};

describe.concurrent.each(Object.entries(pairs))('a tenant %s', (_, [ours, theirs]) => {
  test('cannot make another lose, wait or learn', async ({ site }) => {
    const [holder, waiter] = [await tenant(site, ours), await tenant(site, ours)];
    const other = await tenant(site, theirs);
    const lock = await holder.locker.lock('key');
    const { taken } = await waiting(waiter.locker, () => waiter.locker.lock('key'));
    await until('messages arrive', async () => {
      const open = (await site.admin.pubsub('CHANNELS', 'holdfast:inbox:*')) as string[];
      return open.length >= 2;
    });
    const [channel = ''] = (await site.admin.pubsub('CHANNELS', 'holdfast:inbox:*')) as string[];
    const { namespace, keyPrefix } = ours;
    const key = `${keyPrefix}{${namespace}:key}`;
    // As their client would send it, but for a prefix of its own.
    const { username, password, host, port } = other.client.options;
    const raw = new Redis({ username, password, host, port } as { host: string; port: number });
    raw.on('error', () => {});
    site.onEnd(() => raw.disconnect());
    const attacks: Record<string, () => Promise<unknown>> = {
      read: () => raw.get(key),
      write: () => raw.set(key, 'x'),
      free: () => raw.del(key),
      expire: () => raw.pexpire(key, '1'),
      'count who waits': () => raw.zrange(`${key}:queue`, '0', '-1'),
      publish: () => raw.publish(channel, `wake x ${key}`),
      'publish from a script': () =>
        raw.eval(`return redis.call('PUBLISH', ARGV[1], 'x')`, '0', channel),
      'read from a script': () => raw.eval(`return redis.call('GET', ARGV[1])`, 0, key),
      listen: () => raw.subscribe(channel),
      'listen to all': () => raw.psubscribe('*'),
      'find channels': () => raw.pubsub('CHANNELS', '*'),
      'find keys': () => raw.keys('*'),
      scan: () => raw.scan('0'),
      watch: () => raw.call('MONITOR'),
      'see clients': () => raw.client('LIST'),
      flush: () => raw.flushall(),
      configure: () => raw.config('GET', '*'),
    };
    const allowed: string[] = [];
    for (const [attack, run] of Object.entries(attacks)) {
      await run().then(
        () => allowed.push(attack),
        (error: unknown) =>
          expect(String(error)).toMatch(/NOPERM|permission|can't (?:publish|access|run)/),
      );
    }
    expect(allowed).toEqual([]);
    // Nor with our own means.
    const store = redisStore(other.client);
    const intruder = createLocker({ store, namespace });
    site.onEnd(() => intruder.close());
    if (other.client.options.keyPrefix === '') {
      await expect(intruder.forceRelease('key')).rejects.toMatchObject(REFUSED);
      await expect(intruder.inspect('key')).rejects.toMatchObject(REFUSED);
      await expect(intruder.tryLock('key')).rejects.toMatchObject(REFUSED);
    }
    expect(lock.state).toBe('held');
    await lock.extend();
    expect(await lock.release()).toBe(true);
    await (await taken).release();
    // And each has all that it needs.
    expect(await other.locker.withLock('key', ({ state }) => state)).toBe('held');
    for (const { warnings } of [holder, waiter, other]) expect(warnings).toEqual([]);
  });
});
