// Three replicas, each a process of its own, on one Redis.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis, useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { emptyDatabase } from './database.ts';
import { NEVER, Service, type Answer } from './service.ts';

const redis = useRedis();

type Replicas = readonly [Service, Service, Service];

let database: string;

beforeEach(async () => {
  database = await emptyDatabase();
});

const startOne = (env: NodeJS.ProcessEnv): Promise<Service> =>
  Service.start({ REDIS_URL: redis.url, DATABASE_URL: database, ...env });

const start = (env: NodeJS.ProcessEnv): Promise<Replicas> =>
  Promise.all([startOne(env), startOne(env), startOne(env)]);

const FAST = { ...NEVER, BANK_DELAY: '50' };
/** It will not be done before something happens to it. */
const SLOW = { ...NEVER, BANK_DELAY: '60000' };

const pay = (replica: Service, order: string): Promise<Answer> =>
  replica.ask('POST', `/payments/${order}`, { amount: 1_999 });

interface Payment {
  readonly receipt: string;
  readonly charges: number;
}

const find = async (replica: Service, order: string): Promise<Payment> =>
  (await replica.ask('GET', `/payments/${order}`)).body as Payment;

/**
 * Until a replica holds the lock of an order, and knows it: nobody else would renew it. To ask for a refund
 * would be to ask for the lock too.
 */
async function untilHeld(order: string): Promise<void> {
  const client = new Redis(redis.url);
  const locker = createLocker({ store: redisStore(client) });
  onTestFinished(async () => {
    await locker.close();
    client.disconnect();
  });
  let before = Infinity;
  const isRenewed = async (): Promise<boolean> => {
    const remaining = (await locker.inspect(`order:${order}`))?.remaining ?? Infinity;
    const renewed = remaining > before && remaining < Infinity;
    before = remaining;
    return renewed;
  };
  await expect.poll(isRenewed, { timeout: 30_000, interval: 10 }).toBe(true);
}

interface Report {
  readonly tick: string;
  readonly by: string;
}

const reportsOf = async (replica: Service): Promise<Report[]> =>
  (await replica.ask('GET', '/reports')).body as Report[];

describe('three replicas', () => {
  test('charge each order once, and all give the same receipt', async () => {
    const replicas = await start(FAST);
    const orders = Array.from({ length: 5 }, () => randomUUID());
    const paid = orders.map(async (order) => {
      const times = [...replicas, ...replicas, ...replicas];
      const answers = await Promise.all(times.map((replica) => pay(replica, order)));
      expect(answers.map(({ status }) => status)).toEqual(Array(times.length).fill(200));
      const receipts = answers.map(({ body }) => (body as Payment).receipt);
      const { charges, receipt } = await find(replicas[0], order);
      expect([charges, new Set(receipts)]).toEqual([1, new Set([receipt])]);
    });
    await Promise.all(paid);
  });

  test('make one report for each tick', async () => {
    const replicas = await start({ REPORT_CRON: '* * * * * *' });
    const before = (await reportsOf(replicas[0])).length;
    await expect
      .poll(async () => (await reportsOf(replicas[0])).length - before, { timeout: 40_000 })
      .toBeGreaterThanOrEqual(4);
    // Whoever was late for the last of them has been refused it by now.
    await sleep(1_500);
    const reports = await reportsOf(replicas[1]);
    const ticks = reports.map(({ tick }) => tick);
    expect(new Set(ticks).size).toBe(ticks.length);
    expect(ticks.every((tick) => tick.endsWith('.000Z'))).toBe(true);
    // By the same three that are asked.
    const pids = replicas.map(({ process }) => `payments:${process.pid}`);
    for (const { by } of reports.slice(before)) expect(pids).toContain(by);
  });

  test('charge once also if the one that is about to is killed', async () => {
    const [victim, second, third] = await Promise.all([
      startOne(SLOW),
      startOne(FAST),
      startOne(FAST),
    ]);
    const order = randomUUID();
    const lost = pay(victim, order).catch(() => 'no answer');
    await untilHeld(order);
    await victim.kill();
    await expect(lost).resolves.toBe('no answer');
    const answers = await Promise.all([pay(second, order), pay(third, order)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    await expect(find(third, order)).resolves.toMatchObject({ charges: 1 });
  });

  test('charge once also if one is frozen while it does, for longer than its lock lasts', async () => {
    const [frozen, second] = await Promise.all([startOne(SLOW), startOne(FAST)]);
    const order = randomUUID();
    const late = pay(frozen, order);
    await untilHeld(order);
    frozen.freeze();
    const answer = await pay(second, order);
    expect(answer.status).toBe(200);
    frozen.thaw();
    // It has found out by itself that it holds the lock no more.
    await expect(late).resolves.toMatchObject({ status: 503, body: { code: 'LOCK_LOST' } });
    await expect(find(frozen, order)).resolves.toMatchObject({ charges: 1 });
    await expect(pay(frozen, order)).resolves.toMatchObject({ status: 200 });
    await expect(find(second, order)).resolves.toMatchObject({ charges: 1 });
  });

  test('let go of everything when they shut down', async () => {
    const [first, second] = await start({ ...NEVER, BANK_DELAY: '3000' });
    const order = randomUUID();
    const paid = pay(first, order);
    await untilHeld(order);
    const stopped = first.stop();
    await expect(paid).resolves.toMatchObject({ status: 200 });
    await stopped;
    // At once: nothing is left that would have to run out.
    const refund = await second.ask('POST', `/payments/${order}/refund`);
    expect(refund.status).toBe(200);
  });
});

describe('without its Redis', () => {
  test.skipIf(redisBinary() === '')('a replica is not well, and charges nobody', async () => {
    const server = await startRedis(redisBinary());
    const service = await Service.start({
      ...NEVER,
      REDIS_URL: `redis://${server.host}:${server.port}`,
    });
    await expect(service.ask('GET', '/health')).resolves.toMatchObject({ status: 200 });
    await server.kill();
    const health = await service.ask('GET', '/health');
    expect([health.status, health.headers.get('retry-after')]).toEqual([503, '1']);
    await server.stop();
  });
});
