import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { inChild } from '../harness.ts';
import { holders } from './holders.ts';
import { absolute, child, compared, details, least, PEERS, round, type Row } from './results.ts';

interface Held {
  readonly requests: number;
  readonly renewals: number;
  readonly cpu: number;
  readonly timers: number;
}

/** 1,000 tasks that wait for a key that somebody else holds. */
async function waiting(url: string): Promise<Row> {
  const client = new Redis(url);
  const locker = createLocker({ store: redisStore(client) });
  const results = new Map<string, number>();
  for (const name of ['holdfast', ...PEERS]) {
    // In the way of each, in its own words.
    const names = ['held', 'mutex:held', 'lock:held'];
    for (const key of names) await client.set(key, 'held', 'PX', 60_000);
    const lock = await locker.lock('held');
    results.set(name, await inChild<number>(child, [name, 'wait', url]));
    await lock.release();
    await client.del(...names);
  }
  await locker.close();
  client.disconnect();
  const rows = [...results].map(([name, count]): [string, number[]] => [name, [count]]);
  details('1,000 waiters for 5 s', ['requests'], new Map(rows));
  return absolute('1,000 waiters, 5 s', 'requests', results.get('holdfast') as number, '≤ 60');
}

/** 10,000 locks that are renewed. */
async function renewing(url: string): Promise<Row[]> {
  const work = '10,000 held locks';
  const results = new Map<string, Held>();
  for (const name of Object.keys(holders)) {
    results.set(name, await inChild<Held>(child, [name, 'hold', url]));
  }
  const cost = new Map([...results].map(([name, { cpu, renewals }]) => [name, cpu / renewals]));
  details(
    `${work} for 20 s`,
    ['renewals', 'requests', 'CPU µs per renewal', 'timers'],
    new Map(
      [...results].map(([name, { renewals, requests, timers }]) => [
        name,
        [renewals, requests, cost.get(name) ?? 0, timers],
      ]),
    ),
  );
  const ours = results.get('holdfast') as Held;
  const own = cost.get('holdfast') as number;
  const [name, best] = least(cost);
  const costs = [`${round(own)} µs`, `${name} ${round(best)} µs`] as const;
  return [
    absolute(work, 'requests per 100 renewals', (100 * ours.requests) / ours.renewals, '≤ 1'),
    compared(work, 'CPU per renewal', costs, best / own, 3),
    absolute(work, 'timers', ours.timers, '≤ 1'),
  ];
}

/** Waiting for long, and holding for long. */
export async function holding(url: string): Promise<Row[]> {
  return [await waiting(url), ...(await renewing(url))];
}
