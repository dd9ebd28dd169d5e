import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { useRedis } from '@holdfast/test-servers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execute, makeConsumer, type ConsumerProject } from '../src/project.ts';

const FORMAT = 'holdfast:1';

const redis = useRedis();
let consumer: ConsumerProject;

/** Installs the packed Redis store a second time, as a release that stores another format. */
async function installNext(folder: string): Promise<void> {
  const next = join(folder, 'node_modules', 'next-redis');
  await mkdir(next);
  await cp(join(folder, 'node_modules', '@holdfast', 'redis'), next, { recursive: true });
  const file = join(next, 'dist', 'index.js');
  const code = await readFile(file, 'utf8');
  if (!code.includes(FORMAT)) throw new Error(`the store's format is not ${FORMAT} any more`);
  await writeFile(file, code.replaceAll(FORMAT, 'holdfast:2'));
}

beforeAll(async () => {
  consumer = await makeConsumer(['core', 'redis'], {
    ioredis: 'packages/redis/node_modules/ioredis',
  });
  await installNext(consumer.folder);
});
afterAll(() => consumer.remove());

/** Runs a program with a locker of each release, on one Redis. */
async function beside(body: string): Promise<unknown> {
  const program = `
    import { createLocker } from '@holdfast/core';
    import { redisStore } from '@holdfast/redis';
    import { redisStore as nextStore } from 'next-redis';
    import { Redis } from 'ioredis';
    const clients = [new Redis('${redis.url}'), new Redis('${redis.url}')];
    const now = createLocker({ store: redisStore(clients[0]), ttl: 2_000 });
    const next = createLocker({ store: nextStore(clients[1]), ttl: 2_000 });
    const refused = ({ code, permanent, message }) => ({ code, permanent, message });
    const told = await (async () => { ${body} })();
    await Promise.all([now.close(), next.close()]);
    for (const client of clients) client.disconnect();
    console.log(JSON.stringify(told));`;
  await writeFile(join(consumer.folder, 'beside.mjs'), program);
  return JSON.parse(await execute(consumer.folder, 'beside.mjs'));
}

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
  const refusal = {
    code: 'LOCK_STORE_UNAVAILABLE',
    permanent: true,
    message: expect.stringMatching(
      /cannot read: another program, or a version with another format/,
    ) as string,
  };
  expect(told).toEqual([refusal, refusal, refusal, refusal]);
});

test('a lock passes from release to release when it is free, and its tokens grow', async () => {
  const told = await beside(`
    const tokens = [];
    for (const locker of [now, next, now, next]) {
      await locker.withLock('free', (lock) => tokens.push(lock.fencingToken));
    }
    return tokens;`);
  const tokens = told as number[];
  expect(tokens).toHaveLength(4);
  expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
});
