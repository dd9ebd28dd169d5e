import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Candidate } from '@holdfast/core';
import { gate, useRedis, type Gate } from '@holdfast/test-servers';
import type { Queue, Worker } from 'bullmq';
import type { Express } from 'express';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closeClients } from './clients.ts';
import { instanceOf } from './module.ts';

const server = useRedis();
beforeAll(() => {
  process.env['REDIS_URL'] = server.url;
});
afterAll(closeClients);

/** Instances of a service that has the first module of a page. */
async function instances<T>(page: string, count = 2): Promise<T[]> {
  const made: T[] = [];
  for (let i = 0; i < count; i++) made.push(await instanceOf<T>(`problems/${page}.md`, 0));
  return made;
}

/** The instance that gets the nth request. */
const at = <T>(replicas: readonly T[], n: number): T => replicas[n % replicas.length] as T;

/** Counts how many are inside at once. */
class Inside {
  now = 0;
  most = 0;
  total = 0;

  async visit(until: Promise<unknown> = new Promise((r) => setTimeout(r, 5))): Promise<void> {
    this.most = Math.max(this.most, ++this.now);
    this.total += 1;
    await until;
    this.now -= 1;
  }
}

test('a cron job of three instances runs once per tick, also for one that is late', async () => {
  type Cron = { nightly: (report: () => Promise<void>) => Promise<boolean> };
  const replicas = await instances<Cron>('cron', 3);
  let runs = 0;
  const report = async (): Promise<void> => {
    runs += 1;
  };
  const [first] = replicas as [Cron, Cron, Cron];
  expect(await first.nightly(report)).toBe(true);
  const late = await Promise.all(replicas.map(({ nightly }) => nightly(report)));
  expect(late).toEqual([false, false, false]);
  expect(runs).toBe(1);
});

test('migrations of several replicas run one at a time, and each replica waits for them', async () => {
  type Migrations = { migrateOnce: (migrate: () => Promise<void>) => Promise<void> };
  const replicas = await instances<Migrations>('migrations', 3);
  const inside = new Inside();
  await Promise.all(replicas.map(({ migrateOnce }) => migrateOnce(() => inside.visit())));
  expect(inside).toMatchObject({ most: 1, total: 3 });
});

test('two submits on two instances pay once, and both are answered alike', async () => {
  type Route = { routes: (orders: object) => Express };
  const replicas = await instances<Route>('double-submit');
  let paid = false;
  let payments = 0;
  const orders = {
    find: async () => ({ paid }),
    pay: async (_id: string, fence: number) => {
      expect(fence).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 50));
      payments += 1;
      paid = true;
    },
  };
  const servers = replicas.map(({ routes }) => routes(orders).listen(0, '127.0.0.1'));
  await Promise.all(servers.map((http) => once(http, 'listening')));
  const answers = servers.map(async (http) => {
    const { port } = http.address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/orders/7/pay`, { method: 'POST' });
    return answer.json();
  });
  const same = { id: '7', paid: true };
  expect(await Promise.all(answers)).toEqual([same, same]);
  expect(payments).toBe(1);
  for (const http of servers) http.close();
});

test("a customer's jobs run one at a time and in order on two workers", async () => {
  interface Sync {
    customerId: string;
    step: number;
  }
  type Jobs = { queue: Queue<Sync>; startWorker: (sync: (data: Sync) => Promise<void>) => Worker };
  const replicas = await instances<Jobs>('bullmq');
  const steps: Record<string, number[]> = { a: [], b: [] };
  const inside: Record<string, Inside> = { a: new Inside(), b: new Inside() };
  const done = gate();
  const [{ queue }] = replicas as [Jobs, Jobs];
  for (const step of [1, 2, 3, 4]) {
    for (const customerId of ['a', 'b']) await queue.add('sync', { customerId, step });
  }
  const workers = replicas.map(({ startWorker }) =>
    startWorker(async ({ customerId, step }) => {
      await inside[customerId]?.visit();
      steps[customerId]?.push(step);
      if (steps['a']?.length === 4 && steps['b']?.length === 4) done.open();
    }),
  );
  await done.opened;
  expect(steps).toEqual({ a: [1, 2, 3, 4], b: [1, 2, 3, 4] });
  expect([inside['a']?.most, inside['b']?.most]).toEqual([1, 1]);
  await Promise.all(workers.map((worker) => worker.close()));
  await Promise.all(replicas.map((replica) => replica.queue.close()));
});

test('ten requests on two instances refresh a token once, and all get the new one', async () => {
  type Access = { accessToken(account: string, tokens: object): Promise<string> };
  const replicas = await instances<Access>('refresh-token');
  let token = { access: 'old', refresh: 'r1', expiresAt: 0 };
  let refreshed = 0;
  const tokens = {
    load: async () => token,
    save: async (_account: string, next: typeof token) => {
      token = next;
    },
    refresh: async () => {
      refreshed += 1;
      await new Promise((resolve) => setTimeout(resolve, 30));
      return { access: 'new', refresh: 'r2', expiresAt: Date.now() + 3_600_000 };
    },
  };
  const requests = Array.from({ length: 10 }, (_, i) =>
    at(replicas, i).accessToken('acme', tokens),
  );
  expect(new Set(await Promise.all(requests))).toEqual(new Set(['new']));
  expect(refreshed).toBe(1);
});

test('one instance leads, the next after it resigns has a larger term, and both can be stopped', async () => {
  type Campaign = {
    campaign(lead: (term: number, signal: AbortSignal) => Promise<void>): Candidate;
  };
  const [one, two] = (await instances<Campaign>('leader-election')) as [Campaign, Campaign];
  const terms: number[] = [];
  const [led, next] = [gate(), gate()];
  const lead =
    (begun: Gate) =>
    async (term: number, signal: AbortSignal): Promise<void> => {
      terms.push(term);
      begun.open();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    };
  const first = one.campaign(lead(led));
  await led.opened;
  const second = two.campaign(lead(next));
  expect([first.isLeader, second.isLeader]).toEqual([true, false]);
  expect(terms).toHaveLength(1);
  await first.close();
  await next.opened;
  expect(second.isLeader).toBe(true);
  expect(terms[1]).toBeGreaterThan(terms[0] ?? Infinity);
  await second.close();
});

test('never more tasks than the limit work for a tenant, over two instances', async () => {
  type Limited = { asTenant<T>(tenant: string, work: () => Promise<T>): Promise<T> };
  const replicas = await instances<Limited>('concurrency-limit');
  const inside = new Inside();
  const tasks = Array.from({ length: 12 }, (_, i) =>
    at(replicas, i).asTenant('acme', () => inside.visit()),
  );
  await Promise.all(tasks);
  expect(inside.total).toBe(12);
  expect(inside.most).toBeLessThanOrEqual(3);

  const full = [gate(), gate(), gate()];
  const end = gate();
  const three = full.map((begun) =>
    at(replicas, 0).asTenant('other', async () => {
      begun.open();
      await end.opened;
    }),
  );
  // Three can work at once.
  await Promise.all(full.map(({ opened }) => opened));
  end.open();
  await Promise.all(three);
});
