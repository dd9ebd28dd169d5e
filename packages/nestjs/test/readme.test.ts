// The first examples of the README run as they stand.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locker } from '@holdfast/core';
import { getLockerToken } from '@holdfast/nestjs';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import type { INestApplication, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { expect, test, vi } from 'vitest';
import { aLocker, atEnd, call, until } from './kit/index.ts';

const redis = useRedis();

/** Runs an example as a module beside the tests, where the packages are installed. */
async function run(index: number): Promise<Record<string, Type>> {
  const readme = await readFile(join(import.meta.dirname, '..', 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/```ts\n(import .*?)```/gs)].map(([, code]) => String(code));
  const folder = await mkdtemp(join(import.meta.dirname, 'readme-'));
  atEnd(() => rm(folder, { recursive: true }));
  const file = join(folder, 'example.ts');
  await writeFile(file, examples[index] as string);
  return (await import(/* @vite-ignore */ file)) as Record<string, Type>;
}

test('the first example of the README locks its routes', { timeout: 120_000 }, async () => {
  vi.stubEnv('PORT', '0');
  const create = NestFactory.create.bind(NestFactory);
  let app: INestApplication | undefined;
  vi.spyOn(NestFactory, 'create').mockImplementation(async (module: unknown) => {
    app = await create(module as Type, { logger: false });
    atEnd(() => app?.close());
    return app as never;
  });
  await run(0);
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  const url = (await app!.getUrl()).replace('[::1]', 'localhost');
  await expect(call('POST', `${url}/orders/1/pay`)).resolves.toMatchObject({
    status: 201,
    text: expect.stringMatching(/^order 1 is paid, fence \d+$/) as string,
  });
  await expect(call('POST', `${url}/orders/1/ship`)).resolves.toMatchObject({ text: 'shipped' });
});

test(
  'the example with Redis shares its locks, and closes what it opened',
  { timeout: 120_000 },
  async () => {
    vi.stubEnv('REDIS_URL', redis.url);
    const { LocksModule } = await run(1);
    const app = await NestFactory.createApplicationContext(LocksModule as Type, { logger: false });
    vi.unstubAllEnvs();
    const client = app.get(Redis);
    const other = new Redis(redis.url);
    atEnd(() => other.disconnect());
    const locker = aLocker({ store: redisStore(other) });
    const ours = app.get<Locker>(getLockerToken());
    await ours.withLock('k', async () => {
      await expect(locker.tryLock('k', { reentry: 'ignore' })).resolves.toBeNull();
    });
    await app.close();
    await until(() => client.status === 'end');
  },
);
