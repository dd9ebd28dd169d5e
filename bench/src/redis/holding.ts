import { atMost, type Goal } from '../goals.ts';
import { quick, timedAndCounted } from '../harness.ts';
import { whileHeld } from './held-by-other.ts';
import { holders } from './holders.ts';
import { child, details, least, PEERS } from './results.ts';

interface Waited {
  readonly requests: number;
  readonly cpu: number;
}

interface Held {
  readonly requests: number;
  readonly cpu: number;
  readonly timers: number;
}

/** 1,000 tasks that wait for a key that somebody else holds. */
async function waiting(url: string): Promise<Goal> {
  const results = new Map<string, Waited>();
  for (const name of ['holdfast', ...PEERS]) {
    const wait = () => timedAndCounted<Waited>(child, [name, 'wait', url]);
    results.set(name, await whileHeld(url, wait));
  }
  details(
    '1,000 waiters for 5 s',
    ['requests', 'CPU ms'],
    new Map([...results].map(([name, { requests, cpu }]) => [name, [requests, cpu / 1_000]])),
  );
  const { requests } = results.get('holdfast') as Waited;
  return atMost('1,000 waiters, 5 s: requests', requests, 60, '');
}

/**
 * 10,000 locks that are renewed. The peers renew less often in the same time, ours every third of the
 * ttl: what a service pays is the time, whatever it buys.
 */
async function renewing(url: string): Promise<Goal[]> {
  const work = '10,000 held locks';
  const results = new Map<string, Held>();
  for (const name of Object.keys(holders)) {
    results.set(
      name,
      await timedAndCounted<Held>(child, [name, 'hold', url, ...(quick ? ['--quick'] : [])]),
    );
  }
  details(
    work,
    ['requests/s', 'CPU ms/s', 'timers'],
    new Map(
      [...results].map(([name, { requests, cpu, timers }]) => [
        name,
        [requests, cpu / 1_000, timers],
      ]),
    ),
  );
  const ours = results.get('holdfast') as Held;
  const [name, best] = least(new Map([...results].map(([peer, { cpu }]) => [peer, cpu])));
  return [
    atMost(`${work}: CPU to ${name}`, ours.cpu / best, 0.4),
    atMost(`${work}: requests a second`, ours.requests, 40, ''),
    atMost(`${work}: timers`, ours.timers, 1, ''),
  ];
}

/** Waiting for long, and holding for long. */
export async function holding(url: string): Promise<Goal[]> {
  return [await waiting(url), ...(await renewing(url))];
}
