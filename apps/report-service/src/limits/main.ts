// At most 3 reports of a tenant and 10 in all, by three instances, one of which is killed.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { ended, Instances, program, REDIS_URL, say } from '../instances.ts';
import { Books, IN_ALL, PER_TENANT, REPORTS, TENANTS } from './reports.ts';

const NAMES = ['one', 'two', 'three'] as const;

async function main(redis: Redis, instances: Instances): Promise<boolean> {
  const run = `report-service-${randomUUID()}`;
  const books = new Books(redis, run);
  const locker = createLocker({ store: redisStore(redis), namespace: run });
  say(`${REPORTS.length} reports of ${TENANTS.length} tenants, by ${NAMES.length} instances`);
  const shares = NAMES.map((_, index) =>
    REPORTS.filter((_report, at) => at % NAMES.length === index),
  );
  const [killed, ...others] = NAMES.map((name, index) =>
    instances.start(run, name, ...(shares[index] ?? []).map(({ id }) => id)),
  );

  // In the middle of its work.
  while ((await books.running('one')) === 0) await sleep(2);
  killed?.kill('SIGKILL');
  if (killed !== undefined) await ended(killed);
  const left = await books.buried('one');
  say(`instance one was killed while it wrote ${left} reports`);
  const done = await books.done();
  const rest = (shares[0] ?? []).filter(({ id }) => !done.has(id));
  const heir = instances.start(run, 'its successor', ...rest.map(({ id }) => id));
  await Promise.all([...others, heir].map(ended));

  const written = await books.done();
  const most = await books.most();
  say(`${written.size} of ${REPORTS.length} reports are written`);
  const all = most.get('in all') ?? 0;
  const tenants = TENANTS.map((tenant) => most.get(tenant) ?? 0);
  say(`at most ${all} at once in all, and ${Math.max(...tenants)} of a tenant`);
  const { locks } = await locker.list();
  say(locks.length === 0 ? 'no permit is left' : `${locks.length} keys are still held`);
  await locker.close();
  const kept = all <= IN_ALL && tenants.every((count) => count <= PER_TENANT);
  const used = all === IN_ALL && tenants.every((count) => count === PER_TENANT);
  const good = kept && used && written.size === REPORTS.length && locks.length === 0;
  say(good ? '✔ the limits were reached, and never passed' : '✘ not as it should be');
  return good;
}

await program(async () => {
  const redis = new Redis(REDIS_URL);
  const instances = new Instances(import.meta.url);
  try {
    return await main(redis, instances);
  } finally {
    instances.end();
    redis.disconnect();
  }
});
