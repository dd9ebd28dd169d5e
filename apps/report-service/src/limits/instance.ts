// One instance: writes its share of the reports, many at once, as far as the limits allow.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { REDIS_URL } from '../instances.ts';
import { Books, IN_ALL, PER_TENANT, REPORTS } from './reports.ts';

const [run = '', instance = '', ...ids] = process.argv.slice(2);
const redis = new Redis(REDIS_URL);
const books = new Books(redis, run);
const locker = createLocker({
  store: redisStore(redis),
  namespace: run,
  label: instance,
  ttl: 3_000,
});

const wanted = new Set(ids);
const written = REPORTS.filter(({ id }) => wanted.has(id)).map((report) =>
  locker.withLock(
    [`tenant:${report.tenant}`, 'reports'],
    { limit: [PER_TENANT, IN_ALL] },
    async () => {
      await books.begin(instance, report);
      await sleep(400 + Math.random() * 200);
      await books.end(instance, report);
    },
  ),
);
await Promise.all(written);
await locker.close();
redis.disconnect();
