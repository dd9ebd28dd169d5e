// A rolling deploy: what is published now beside a next release, on one server.
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { useMemcached, useRedis } from '@holdfast/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execute, makeConsumer, type ConsumerProject } from '../src/project.ts';

const redis = useRedis();
const memcached = useMemcached();
let consumer: ConsumerProject;

interface Kind {
  /** How the built store writes the version of its format, and the next one would. */
  readonly format: readonly [RegExp, string];
  /** Code that makes a client. */
  readonly client: () => string;
  readonly close: string;
}

const KINDS: Record<string, Kind> = {
  redis: {
    format: [/holdfast:1/g, 'holdfast:2'],
    client: () => `new (await import('ioredis')).Redis('${redis.url}')`,
    close: 'disconnect',
  },
  memcached: {
    format: [/var VERSION = 1;/g, 'var VERSION = 2;'],
    client: () => `(await import('memjs')).default.Client.create('${memcached.servers}')`,
    close: 'close',
  },
};

/** Installs a packed store once more, as another release; with `format` it stores another format. */
async function installAs(name: string, store: string, format?: Kind['format']): Promise<void> {
  const modules = join(consumer.folder, 'node_modules');
  await mkdir(join(modules, name));
  await cp(join(modules, '@holdfast', store), join(modules, name), { recursive: true });
  if (format === undefined) return;
  const file = join(modules, name, 'dist', 'index.js');
  const code = await readFile(file, 'utf8');
  const changed = code.replaceAll(...format);
  if (changed === code) throw new Error(`the format of ${store} is not ${String(format[0])}`);
  await writeFile(file, changed);
}

beforeAll(async () => {
  consumer = await makeConsumer(['core', 'redis', 'memcached'], {
    ioredis: 'packages/redis/node_modules/ioredis',
    memjs: 'packages/memcached/node_modules/memjs',
  });
  for (const [store, { format }] of Object.entries(KINDS)) {
    await installAs(`same-${store}`, store);
    await installAs(`next-${store}`, store, format);
  }
}, 120_000);
afterAll(() => consumer.remove());

describe.each(Object.entries(KINDS))('releases on %s', (store, { client, close }) => {
  /** Runs a program with a locker of each release: this one, one of its format, and one of the next. */
  async function beside(body: string): Promise<unknown> {
    const program = `
      import { createLocker } from '@holdfast/core';
      const clients = [];
      async function release(name) {
        const { ${store}Store } = await import(name);
        clients.push(${client()});
        return createLocker({ store: ${store}Store(clients.at(-1)), ttl: 4_000 });
      }
      const now = await release('@holdfast/${store}');
      const same = await release('same-${store}');
      const next = await release('next-${store}');
      const refused = ({ code, permanent, message }) => ({ code, permanent, message });
      const told = await (async () => { ${body} })();
      await Promise.all([now.close(), same.close(), next.close()]);
      for (const client of clients) client.${close}();
      console.log(JSON.stringify(told));`;
    const file = `beside-${store}.mjs`;
    await writeFile(join(consumer.folder, file), program);
    return JSON.parse(await execute(consumer.folder, file));
  }

  const REFUSAL = {
    code: 'LOCK_STORE_UNAVAILABLE',
    permanent: true,
    message: expect.stringMatching(
      /cannot read: another program, or a version with another format/,
    ) as string,
  };

  test('a release refuses, at once and by name, a lock that is held in a format it does not know', async () => {
    const told = await beside(`
      const told = [];
      for (const [holder, other] of [[now, next], [next, now]]) {
        const lock = await holder.lock('held');
        told.push(await other.lock('held', { wait: 20_000 }).then(() => 'two holders', refused));
        told.push(await other.tryLock('held').then((got) => got, refused));
        lock.assertHeld();
        await lock.release();
      }
      return told;`);
    expect(told).toEqual([REFUSAL, REFUSAL, REFUSAL, REFUSAL]);
  });

  test('a lock passes from release to release when it is free, and its tokens grow', async () => {
    const told = await beside(`
      const tokens = [];
      for (const locker of [now, next, same, now, next]) {
        await locker.withLock('free', (lock) => tokens.push(lock.fencingToken));
      }
      return tokens;`);
    const tokens = told as number[];
    expect(tokens).toHaveLength(5);
    expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
  });

  test('a release of the same format waits for locks of this one, and is woken', async () => {
    const told = await beside(`
      const order = [];
      for (const [holder, waiter] of [[now, same], [same, now]]) {
        const lock = await holder.lock('shared');
        const waiting = new Promise((resolve) => waiter.on('waiting', resolve));
        const next = waiter.withLock('shared', { wait: 20_000 }, () => order.push('waiter'));
        await waiting;
        order.push('holder');
        await lock.release();
        await next;
      }
      return order;`);
    expect(told).toEqual(['holder', 'waiter', 'holder', 'waiter']);
  });

  test('where releases of two formats contend, never two hold a lock, and nobody is stranded', async () => {
    const told = await beside(`
      let holders = 0;
      let most = 0;
      const outcomes = {};
      const work = async () => {
        most = Math.max(most, ++holders);
        await new Promise((resolve) => setTimeout(resolve, 3));
        holders -= 1;
      };
      const contend = async (locker) => {
        for (let round = 0; round < 25; round++) {
          const outcome = await locker.withLock('contended', { wait: 15_000 }, work).then(
            () => 'ran',
            ({ code, permanent }) => code + (permanent ? ' permanent' : ''),
          );
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        }
      };
      await Promise.all([now, same, next, now, next].map(contend));
      // The last to leave has left nothing that keeps anybody out.
      for (const locker of [now, next, same]) {
        await locker.withLock('contended', { wait: 10_000 }, work);
      }
      return { most, outcomes };`);
    const { most, outcomes } = told as { most: number; outcomes: Record<string, number> };
    expect(most).toBe(1);
    expect(Object.keys(outcomes).filter((one) => !/^ran$| permanent$/.test(one))).toEqual([]);
    expect(outcomes['ran']).toBeGreaterThan(0);
    expect(Object.values(outcomes).reduce((sum, count) => sum + count)).toBe(125);
  });
});
