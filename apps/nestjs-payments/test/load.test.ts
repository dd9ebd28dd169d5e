// Two replicas under load: clients that leave, clients that come again, and a Redis that is killed twice.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis, type TestServer } from '@holdfast/test-servers';
import autocannon from 'autocannon';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { Ledger } from '../src/storage/ledger.ts';
import { emptyDatabase } from './database.ts';
import { NEVER, Service } from './service.ts';

const ORDERS = Array.from({ length: 6 }, (_, index) => `o${index}`);
const AMOUNT = 5;
/** s */
const DURATION = 8;
/** It remembers every lock that it granted. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** Redis on one port and with one folder, whichever process runs it. */
class DurableRedis {
  private constructor(private server: TestServer) {}

  static async start(folder: string): Promise<DurableRedis> {
    const redis = new DurableRedis(await startRedis(redisBinary(), { args: DURABLE, folder }));
    onTestFinished(() => redis.server.stop());
    return redis;
  }

  get url(): string {
    return `redis://${this.server.host}:${this.server.port}`;
  }

  /** Is away for so many ms. */
  async restart(folder: string, away: number): Promise<void> {
    const { port } = this.server;
    await this.server.kill();
    await sleep(away);
    this.server = await startRedis(redisBinary(), { args: DURABLE, folder, port });
  }
}

/** How often requests were answered in each way: `200`, or a status with its code. */
class Answers {
  readonly counts = new Map<string, number>();

  add(status: number, body: string): void {
    const { code = 'no code' } =
      status === 200 ? { code: '' } : (JSON.parse(body) as { code?: string });
    const answer = `${status} ${code}`.trim();
    this.counts.set(answer, (this.counts.get(answer) ?? 0) + 1);
  }

  of(status: number): number {
    const all = [...this.counts].filter(([answer]) => answer.startsWith(`${status}`));
    return all.reduce((sum, [, count]) => sum + count, 0);
  }
}

const captureOf = (order: string): string => `/payments/${order}/captures`;

function fire(service: Service, answers: Answers): PromiseLike<autocannon.Result> {
  return autocannon({
    url: service.url,
    connections: 12,
    duration: DURATION,
    requests: ORDERS.map((order) => ({
      method: 'POST',
      path: captureOf(order),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ amount: AMOUNT }),
      onResponse: (status: number, body: string) => answers.add(status, body),
    })),
  });
}

/** Clients that leave after a few ms, whatever the service is doing for them. */
async function leave(service: Service, until: number): Promise<number> {
  let left = 0;
  for (let turn = 0; Date.now() < until; turn += 1) {
    const path = captureOf(ORDERS[turn % ORDERS.length] as string);
    const signal = AbortSignal.timeout(1 + ((turn * 7) % 60));
    await service.ask('POST', path, { amount: AMOUNT }, signal).catch(() => (left += 1));
  }
  return left;
}

/** A client that comes again until it has what it wants. */
async function insist(service: Service, until: number): Promise<number> {
  let done = 0;
  for (let turn = 0; Date.now() < until; turn += 1) {
    const path = captureOf(ORDERS[turn % ORDERS.length] as string);
    for (;;) {
      const { status } = await service.ask('POST', path, { amount: AMOUNT });
      if (status === 200) break;
      await sleep(50);
    }
    done += 1;
  }
  return done;
}

test.skipIf(redisBinary() === '')(
  'two replicas keep orders exclusive under load, with clients that leave and a Redis that restarts',
  { timeout: 120_000 },
  async () => {
    const database = await emptyDatabase();
    const folder = new URL('.', database).pathname;
    const redis = await DurableRedis.start(folder);
    const env = { ...NEVER, REDIS_URL: redis.url, DATABASE_URL: database, BANK_DELAY: '15' };
    const services = await Promise.all([Service.start(env), Service.start(env)]);
    const [first, second] = services;
    const answers = new Answers();
    const until = Date.now() + DURATION * 1_000;
    const load = Promise.all([
      fire(first, answers),
      fire(second, answers),
      leave(first, until),
      leave(second, until),
      insist(second, until),
    ]);
    await sleep(2_000);
    await redis.restart(folder, 800);
    await sleep(1_500);
    await redis.restart(folder, 800);
    const [fromFirst, fromSecond, leftFirst, leftSecond, insisted] = await load;

    // Every answer is a success or a refusal with a code, and nothing was logged as an error.
    const kinds = [...answers.counts.keys()].toSorted();
    expect(kinds.filter((kind) => !/^(200|423 LOCK_NOT_ACQUIRED|503 LOCK\w+)$/.test(kind))).toEqual(
      [],
    );
    for (const { errors, timeouts, mismatches } of [fromFirst, fromSecond]) {
      expect([errors, timeouts, mismatches]).toEqual([0, 0, 0]);
    }
    for (const status of [200, 423, 503]) expect(answers.of(status)).toBeGreaterThan(0);
    for (const { output } of services) expect(output).not.toMatch(/ERROR/);

    // No lock is left.
    const client = new Redis(redis.url);
    const locker = createLocker({ store: redisStore(client) });
    onTestFinished(async () => {
      await locker.close();
      client.disconnect();
    });
    const held = async (): Promise<number> => {
      const all = await Promise.all(ORDERS.map((order) => locker.inspect(`order:${order}`)));
      return all.filter((info) => info !== null).length;
    };
    await expect.poll(held, { timeout: 20_000, interval: 20 }).toBe(0);

    // No two had one order at once: each read what the one before had written.
    const ledger = await Ledger.open(database);
    onTestFinished(() => ledger.close());
    let charges = 0;
    for (const order of ORDERS) {
      const amounts = await ledger.charges(order);
      await expect(ledger.captured(order)).resolves.toBe(amounts.length * AMOUNT);
      charges += amounts.length;
    }
    expect(charges).toBeGreaterThanOrEqual(answers.of(200) + insisted);
    const requests = fromFirst.requests.total + fromSecond.requests.total;
    console.log(
      `${requests} requests in ${DURATION} s on two replicas, besides ${leftFirst + leftSecond} by clients ` +
        `that left and ${insisted} repeated until they were served: ${JSON.stringify(Object.fromEntries(answers.counts))}, ` +
        `${charges} charges, p50 ${fromFirst.latency.p50} ms, p99 ${fromFirst.latency.p99} ms`,
    );
  },
);
