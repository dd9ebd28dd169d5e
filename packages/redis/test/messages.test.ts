import { createLocker, type Lock, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { describe, expect } from 'vitest';
import { recorded, type RecordedStore } from './recorded-store.ts';
import { test, until, waiting, type Site } from './site.ts';

// What anybody who may publish can send.

interface Victim extends RecordedStore {
  readonly locker: Locker;
}

function start(site: Site, ttl = 60_000): Victim {
  const record = recorded(redisStore(site.client()));
  const locker = createLocker({ store: record.store, ttl });
  site.onEnd(() => locker.close());
  return Object.assign(record, { locker });
}

async function channels(site: Site): Promise<string[]> {
  return (await site.admin.pubsub('CHANNELS', 'holdfast:inbox:*')) as string[];
}

/** Takes a lock and lets messages arrive; then whoever holds it knows how to forge one. */
async function victim(
  site: Site,
): Promise<Victim & { lock: Lock; channel: string; member: string; id: string }> {
  const held = start(site);
  const lock = await held.locker.lock('key');
  await until('messages arrive', async () => (await channels(site)).length === 1);
  const [channel = ''] = await channels(site);
  const [{ client, id } = { client: '', id: '' }] = held.acquisitions;
  const store = channel.slice(channel.lastIndexOf(':') + 1);
  return Object.assign(held, { lock, channel, member: `${store}/${client}`, id });
}

/** Until all that was published before has been delivered. */
async function delivered({ locker }: Victim, site: Site): Promise<void> {
  const operator = start(site);
  const lock = await locker.lock('last');
  expect(await operator.locker.forceRelease('last')).toBe(true);
  await until('a true message comes', () => lock.state === 'lost');
}

const scripts = async (site: Site): Promise<number> => {
  const stats = await site.admin.info('commandstats');
  // By name or, where the server may not know it, by text.
  let calls = 0;
  for (const [, count] of stats.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)) {
    calls += Number(count);
  }
  return calls;
};

describe.concurrent('a message is a hint', () => {
  test('the name of a channel has the namespace and a part that nobody guesses', async ({
    site,
  }) => {
    const { channel } = await victim(site);
    expect(channel).toMatch(/^holdfast:inbox:\{holdfast\}:[\w-]{16}$/);
  });

  test('the channel is of the key prefix, too', async ({ site }) => {
    const locker = site.locker(
      { namespace: 'a:b', ttl: 60_000 },
      site.client({ keyPrefix: 'app:' }),
    );
    await locker.lock('key');
    await until('messages arrive', async () => (await channels(site)).length === 1);
    expect((await channels(site))[0]).toMatch(/^holdfast:inbox:app:\{a%3Ab\}:[\w-]{16}$/);
  });

  test('a store with lockers of several namespaces hears of all of them', async ({ site }) => {
    const store = redisStore(site.client());
    const [first, second] = ['one', 'two'].map((namespace) => {
      const locker = createLocker({ store, namespace, ttl: 60_000 });
      site.onEnd(() => locker.close());
      return locker;
    }) as [Locker, Locker];
    const locks = [await first.lock('key')];
    await until('messages arrive', async () => (await channels(site)).length === 1);
    locks.push(await second.lock('key'));
    await until('of both', async () => (await channels(site)).length === 2);
    for (const namespace of ['one', 'two']) {
      await site.locker({ namespace }).forceRelease('key');
    }
    await until('both are told', () => locks.every(({ state }) => state === 'lost'));
  });

  test('what does not parse is dropped', async ({ site }) => {
    const held = await victim(site);
    const { channel, member, id } = held;
    const hostile = [
      '',
      ' ',
      'lost',
      'wake',
      'lost x forced "oops {job}',
      `lost ${member} forced "oops {holdfast:key}`,
      `lost ${member} forced "\\u00" {holdfast:key}`,
      `lost ${member} <script> ${id}`,
      `wake ${member}`,
      `wake ${member} {}`,
      `wake ${member} {{{{{`,
      '{'.repeat(4_000),
      `lost ${member} ${'{ '.repeat(1_500)}`,
      '{"type":"lost"}',
      '\u0000\uFFFF',
      `wake __proto__ {holdfast:key}`,
    ];
    for (const message of hostile) await site.admin.publish(channel, message);
    await site.admin.publish(channel, Buffer.from([0xff, 0xfe, 0xc0]));
    await delivered(held, site);
    expect(held.lock.state).toBe('held');
  });

  test('a loss is told only if the server confirms it', async ({ site }) => {
    const held = await victim(site);
    const { channel, member, id, lock } = held;
    for (const reason of ['forced', 'superseded', '<script>']) {
      await site.admin.publish(channel, `lost ${member} ${reason} ${id} {holdfast:key}`);
    }
    await delivered(held, site);
    expect(lock.state).toBe('held');
    // The reason is the server's, too.
    await site.admin.publish(channel, `lost ${member} <script> ${id} {holdfast:key}`);
    await site.locker().forceRelease('key');
    await until('the holder is told', () => lock.state === 'lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
  });

  test('many forged losses cost few requests', async ({ site }) => {
    const held = await victim(site);
    const { channel, member, id } = held;
    const before = await scripts(site);
    const sent = Array.from({ length: 5_000 }, (_, index) =>
      site.admin.publish(channel, `lost ${member} forced ${id}${index} {holdfast:key}`),
    );
    await Promise.all(sent);
    await delivered(held, site);
    expect((await scripts(site)) - before).toBeLessThan(500);
    expect(held.lock.state).toBe('held');
  });

  test('a forged wake-up costs a request at most, and many cost few', async ({ site }) => {
    const holder = await victim(site);
    const next = start(site);
    const { taken } = await waiting(next.locker, () => next.locker.lock('key'));
    await until('messages arrive', async () => (await channels(site)).length === 2);
    const channel = (await channels(site)).find((one) => one !== holder.channel) ?? '';
    const [{ client } = { client: '' }] = next.acquisitions;
    const store = channel.slice(channel.lastIndexOf(':') + 1);
    const before = next.acquisitions.length;
    for (let index = 0; index < 2_000; index++) {
      await site.admin.publish(channel, `wake ${store}/${client} {holdfast:key}`);
    }
    const cost = next.acquisitions.length - before;
    expect(cost).toBeGreaterThan(0);
    // Some tenths of a second on any machine, and a minute on none: 2 a second at most.
    expect(cost).toBeLessThan(60);
    await holder.lock.release();
    await (await taken).release();
  });

  test('one of 20 MB is dropped unread', async ({ site }) => {
    const held = await victim(site);
    await site.admin.publish(held.channel, ' '.repeat(20_000_000));
    await site.admin.publish(held.channel, `wake ${' '.repeat(20_000_000)}{holdfast:key}`);
    await delivered(held, site);
    expect(held.lock.state).toBe('held');
  });
});
