// A process that locks until its input ends: `worker-main.ts <a Job, as JSON>`.
import { writeSync } from 'node:fs';
import { createLocker } from '@holdfast/core';
import { seededRandom } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { RacyCounter } from './counter.ts';
import { type Event } from './events.ts';
import { openStore } from './stores.ts';
import type { Job } from './worker.ts';
import { Workload } from './workload.ts';

const {
  process: number,
  place,
  ttl,
  several,
  counterPort,
  seed,
} = JSON.parse(process.argv[2] as string) as Job;
const TASKS = 3;

/** At once: what a process that is killed has said must have arrived. */
const say = (event: Event): void => void writeSync(1, `${JSON.stringify(event)}\n`);
const failed = (error: unknown): void => {
  const text = error instanceof Error ? error.stack : undefined;
  say({ what: 'failed', error: `unhandled: ${text ?? String(error)}` });
};
process.on('unhandledRejection', failed);
process.on('uncaughtException', failed);

const { store, close } = await openStore(place);
const calm = counterPort === undefined ? undefined : new Redis(counterPort, '127.0.0.1');
const counter = calm === undefined ? undefined : new RacyCounter(calm);
const locker = createLocker({ store, ttl });
const random = seededRandom(seed);
const workload = new Workload({
  process: number,
  locker,
  ttl,
  several,
  counter,
  random,
  say,
});

const stopping = new AbortController();
process.stdin.on('end', () => stopping.abort()).resume();

async function task(): Promise<void> {
  while (!stopping.signal.aborted) await workload.round();
}

await calm?.ping();
say({ what: 'ready' });
await Promise.all([workload.campaign(stopping.signal), ...Array.from({ length: TASKS }, task)]);
await locker.close();
await close();
calm?.disconnect();
// It must end by itself from here on.
