import { redisQuorum } from '@holdfast/redis';
import { createLocker } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, test, until, type Site } from './site.ts';

async function noScripts(site: Site): Promise<number> {
  const stats = await site.admin.info('errorstats');
  return Number(/NOSCRIPT:count=(\d+)/.exec(stats)?.[1] ?? 0);
}

describe.concurrent('a server that does not know the scripts', () => {
  test('costs no lock and no renewal where a round trip takes a third of the ttl', async ({
    site,
  }) => {
    const client = site.client();
    await client.ping();
    site.proxy.delayReplies(900);
    const locker = site.locker({ ttl: 3_000 }, client);
    const lock = await locker.tryLock('key');
    expect(lock?.state).toBe('held');
    let renewed = 0;
    locker.on('renewed', () => (renewed += 1));
    await until('it is renewed', () => renewed >= 2 || lock?.state === 'lost');
    expect(lock?.state).toBe('held');
    expect(await noScripts(site)).toBe(0);
  });

  test('learns the scripts without a question, also after a restart', async ({ site }) => {
    const locker = site.locker({ ttl: 60_000 });
    const use = async (): Promise<void> => {
      const lock = await locker.lock('key', { wait: 20_000 });
      await lock.extend();
      await locker.inspect('key');
      await lock.release();
      await locker.forceRelease('key');
    };
    await use();
    await use();
    const stats = await site.admin.info('commandstats');
    expect(Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])).toBeGreaterThan(4);
    await site.restart();
    await use();
    expect(await noScripts(site)).toBe(0);
  });

  test('learns the scripts again when it has forgotten them', async ({ site }) => {
    const locker = site.locker();
    await locker.withLock('key', () => {});
    await site.admin.script('FLUSH');
    await locker.withLock('key', () => {});
    expect(await noScripts(site)).toBe(1);
  });

  test('costs a quorum no lock either', async ({ site }) => {
    const client = site.client();
    await client.ping();
    site.proxy.delayReplies(600);
    const locker = createLocker({ store: redisQuorum([client]), ttl: 4_000 });
    site.onEnd(() => locker.close());
    expect((await fails(locker.withLock('key', () => {}))).error).toBeUndefined();
    expect(await noScripts(site)).toBe(0);
  });
});
