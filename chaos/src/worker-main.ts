// A process that locks until its input ends:
// `worker-main.ts <library of the client> <port of Redis> <port of the counter>`.
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, type Lock } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { connect } from './clients.ts';
import { RacyCounter } from './counter.ts';
import { KEYS, machineNow, TTL, type Note } from './protocol.ts';

const [library = 'ioredis', ...ports] = process.argv.slice(2);
const [redisPort, counterPort] = ports.map(Number) as [number, number];
const TASKS = 3;

/** Most are quick, some do not get it done within one lease. */
const stepsOf = (): number => (Math.random() < 0.03 ? 1_200 : 2);

/** At once: what a process that is killed has said must have arrived. */
const say = (note: Note): void => void writeSync(1, `${JSON.stringify(note)}\n`);
process.on('unhandledRejection', (error) =>
  say({ what: 'failed', error: `unhandled ${String(error)}` }),
);

const { client, close } = await connect(library, redisPort);
const calm = new Redis(counterPort, '127.0.0.1');
const counter = new RacyCounter(calm);
const locker = createLocker({ store: redisStore(client), ttl: TTL });
locker.on('lost', ({ reason }) => say({ what: 'lost', reason }));

const stopping = new AbortController();
process.stdin.on('end', () => stopping.abort()).resume();

/** Notes that the lock is held now, if it is. */
function isHeld(lock: Lock, what: 'began' | 'held'): boolean {
  const before = machineNow();
  try {
    lock.assertHeld();
  } catch {
    return false;
  }
  const at = what === 'began' ? machineNow() : before;
  say({ what, key: lock.key, token: lock.fencingToken, at });
  return true;
}

async function increment(lock: Lock): Promise<boolean> {
  const { key, fencingToken: token } = lock;
  if (!isHeld(lock, 'began')) return false;
  const count = await counter.read(key, token);
  if (count === undefined) return false;
  for (let left = stepsOf(); left > 0; left--) {
    await sleep(Math.random() * 3);
    if (!isHeld(lock, 'held')) return false;
  }
  return counter.write(key, token, count + 1);
}

async function round(): Promise<void> {
  const key = KEYS[Math.floor(Math.random() * KEYS.length)] as string;
  const since = performance.now();
  let wrote = false;
  const work = async (lock: Lock): Promise<void> => {
    wrote = await increment(lock);
  };
  if (Math.random() < 0.1) {
    const signal = AbortSignal.timeout(Math.floor(Math.random() * 200));
    await locker.withLock(key, { wait: 120_000, signal }, work).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      say({ what: 'gave-up' });
    });
  } else {
    await locker.withLock(key, { wait: 120_000 }, work);
  }
  say({ what: 'done', wrote, key, waited: performance.now() - since });
}

async function task(): Promise<void> {
  while (!stopping.signal.aborted) {
    await round().catch((error: unknown) => say({ what: 'failed', error: String(error) }));
  }
}

await calm.ping();
say({ what: 'ready' });
await Promise.all(Array.from({ length: TASKS }, task));
await locker.close();
await close();
calm.disconnect();
// It must end by itself from here on.
