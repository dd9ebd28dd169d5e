// Two replicas under load, with clients that leave, clients that come again, and a Redis that restarts.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis } from '@holdfast/test-servers';
import autocannon from 'autocannon';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { Database } from '../src/database.ts';
import { ask, databaseFolder, start, stop, useApplication } from './running.ts';

useApplication();

const ORDERS = Array.from({ length: 6 }, (_, index) => `order-${index}`);
/** What each request pays. */
const AMOUNT = 5;
/** s */
const DURATION = 8;
/** A Redis that remembers every lock that it granted. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

const pathOf = (turn: number): string => `/orders/${ORDERS[turn % ORDERS.length]}/payments`;

/** How often requests were answered in each way: `200`, or a status with its code. */
class Answers {
  private readonly counts = new Map<string, number>();

  add(status: number, json: Record<string, unknown>): void {
    const answer = status === 200 ? '200' : `${status} ${String(json['code'])}`;
    this.counts.set(answer, (this.counts.get(answer) ?? 0) + 1);
  }

  get all(): Record<string, number> {
    return Object.fromEntries(this.counts);
  }

  /** Refusals that no client could tell the reason of. */
  get unexpected(): string[] {
    return Object.keys(this.all).filter(
      (one) => !/^(200|423 LOCK_NOT_ACQUIRED|503 (LOCK_[A-Z_]+|TIMED_OUT))$/.test(one),
    );
  }
}

/** Many at once. */
async function rush(url: string, answers: Answers): Promise<autocannon.Result> {
  return autocannon({
    url,
    connections: 12,
    duration: DURATION,
    requests: ORDERS.map((_, index) => ({
      method: 'POST',
      path: pathOf(index),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ amount: AMOUNT }),
      onResponse: (status: number, body: string) =>
        answers.add(status, JSON.parse(body) as Record<string, unknown>),
    })),
  });
}

/** Clients that leave after a few ms, whatever is being done for them. */
async function leave(url: string, isOver: () => boolean): Promise<number> {
  let left = 0;
  for (let turn = 0; !isOver(); turn++) {
    const signal = AbortSignal.timeout(1 + ((turn * 7) % 60));
    await ask(url + pathOf(turn), 'POST', { amount: AMOUNT }, signal).catch(() => (left += 1));
  }
  return left;
}

/** A client that comes again until it has paid. */
async function insist(url: string, answers: Answers, isOver: () => boolean): Promise<number> {
  let paid = 0;
  for (let turn = 0; !isOver(); turn++) {
    for (;;) {
      const { status, json } = await ask(url + pathOf(turn), 'POST', { amount: AMOUNT });
      answers.add(status, json);
      if (status === 200) break;
      await sleep(50);
    }
    paid += 1;
  }
  return paid;
}

test('two replicas under load never work on one order at once, and leave no lock', async () => {
  const file = databaseFolder();
  onTestFinished(file.remove);
  const database = await Database.open(file.url);
  onTestFinished(() => database.close());
  for (const id of ORDERS) await database.place({ id, item: 'tea', amount: 7 });

  const options = { args: DURABLE, folder: file.folder };
  let server = await startRedis(redisBinary(), options);
  onTestFinished(() => server.stop());
  const { host, port } = server;
  const REDIS_URL = `redis://${host}:${port}`;
  const env = { REDIS_URL, DATABASE_URL: file.url, PARTNER: '15', WAIT: '150', LIMIT: '4000' };
  const replicas = await Promise.all([start(env, 1), start(env, 1)]);
  onTestFinished(async () => void (await Promise.all(replicas.map(stop))));
  const [one = '', two = ''] = replicas.flatMap(({ urls }) => urls);

  const answers = new Answers();
  let over = false;
  const isOver = (): boolean => over;
  const clients = [leave(one, isOver), leave(two, isOver), insist(two, answers, isOver)];
  const rushes = Promise.all([rush(one, answers), rush(two, answers)]);
  await sleep(2_000);
  await server.kill();
  await sleep(1_000);
  server = await startRedis(redisBinary(), { ...options, port });
  const results = await rushes;
  over = true;
  const [leftOne = 0, leftTwo = 0, insisted = 0] = await Promise.all(clients);

  expect(answers.unexpected).toEqual([]);
  for (const { errors, timeouts } of results) expect([errors, timeouts]).toEqual([0, 0]);

  // Nothing of this is an error of the application.
  for (const { output } of replicas) expect(output()).not.toMatch(/^ {4}at /m);

  const redis = new Redis(REDIS_URL);
  const locker = createLocker({ store: redisStore(redis) });
  onTestFinished(async () => {
    await locker.close();
    redis.disconnect();
  });
  const held = async (): Promise<number> => {
    const all = await Promise.all(ORDERS.map((id) => locker.inspect(`order:${id}`)));
    return all.filter((info) => info !== null).length;
  };
  await expect.poll(held, { timeout: 30_000, interval: 20 }).toBe(0);

  // Each read what the one before had written, and added to it: with two at once, one would be missing.
  let charges = 0;
  for (const id of ORDERS) {
    const amounts = await database.charges(id);
    const order = await database.find(id);
    expect(order?.paid).toBe(amounts.length * AMOUNT);
    charges += amounts.length;
  }
  const { '200': served = 0 } = answers.all;
  expect(served).toBeGreaterThan(0);
  expect(charges).toBeGreaterThanOrEqual(served);

  const requests = results.reduce((sum, result) => sum + result.requests.total, 0);
  const { p50, p99 } = results[0].latency;
  console.log(
    `${requests} requests in ${DURATION} s on two replicas, ${leftOne + leftTwo} more by clients that ` +
      `left, ${insisted} repeated until they were served; answers ${JSON.stringify(answers.all)}; ` +
      `${charges} charges; p50 ${p50} ms, p99 ${p99} ms`,
  );
});
