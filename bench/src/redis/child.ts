// One variant of one piece of work, in a fresh process: `child.js <variant> <work> <url> [start] [--count]`.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { quick } from '../harness.ts';
import { onClients } from './clients.ts';
import { holders, holdMany } from './holders.ts';
import { pin } from './pin.ts';
import { variants, type Take } from './peers.ts';
import { countRequests } from './requests.ts';
import { cpuSince } from '../usage.ts';

const [name, work, url, start] = process.argv.slice(2) as [string, string, string, string?];
/** ms on the clock of the machine, the same for all processes. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const take = (): Promise<Take> =>
  ((variants[name] ?? onClients[name]) as (url: string) => Promise<Take>)(url);

/** Runs work of so many locks each time it is asked: µs per lock and release. */
async function turns(count: number, run: (count: number) => Promise<unknown>): Promise<never> {
  for (;;) {
    await once(process, 'message');
    // Others had the CPU and its caches.
    await run(count / 3);
    const startedAt = now();
    await run(count);
    process.send?.(((now() - startedAt) * 1_000) / count);
  }
}

/** Many tasks with a key each. */
async function parallel(tasks: number): Promise<never> {
  const lock = await take();
  const task = async (index: number, rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const release = await lock(`key:${index}`);
      await release();
    }
  };
  return turns(9_600, (count) =>
    Promise.all(Array.from({ length: tasks }, (_, index) => task(index, count / tasks))),
  );
}

/** One task that takes one key after the other. */
async function sequential(): Promise<never> {
  pin(process.pid, 0);
  const lock = await take();
  return turns(1_500, async (count) => {
    for (let index = 0; index < count; index++) {
      const release = await lock(`key:${index % 100}`);
      await release();
    }
  });
}

/** Tasks that want one key at once: ms until all have had it, and requests per hand-off. */
async function queue(tasks: number): Promise<{ total: number; requests: number }> {
  const requests = countRequests();
  const lock = await take();
  await (
    await lock('warm-up')
  )();
  const before = requests();
  const startedAt = now();
  const task = async (): Promise<void> => {
    const release = await lock('key');
    await release();
  };
  await Promise.all(Array.from({ length: tasks }, task));
  return { total: now() - startedAt, requests: (requests() - before) / tasks };
}

/** 25 tasks that take one key again and again, as other processes do, from `start` on. */
async function compete(
  holdFor: number,
): Promise<{ holds: [number, number][]; count: number; requests: number; late: boolean }> {
  const requests = countRequests();
  const lock = await take();
  await (
    await lock(`warm-up:${process.pid}`)
  )();
  const late = now() > Number(start);
  await sleep(Math.max(0, Number(start) - now()));
  const before = requests();
  const endAt = Number(start) + 4_000;
  const holds: [number, number][] = [];
  let count = 0;
  const task = async (): Promise<void> => {
    for (;;) {
      // Whoever ends while it holds is in nobody's way later.
      const release = await lock(`key:${start}`);
      const granted = now();
      if (holdFor > 0) await sleep(holdFor);
      const released = now();
      if (released > endAt) return;
      count += 1;
      if (holdFor > 0) holds.push([granted, released]);
      await release();
    }
  };
  for (let index = 0; index < 25; index++) void task();
  // By its own clock: who never lets the event loop turn has no timers.
  await sleep(Math.max(0, endAt - now()));
  return { holds, count, requests: requests() - before, late };
}

/** 1,000 tasks that wait for a key that another process holds: requests in 5 s, and CPU in µs. */
async function wait(): Promise<Record<'requests' | 'cpu', number>> {
  const requests = countRequests();
  const lock = await take();
  const waiting = Array.from({ length: 1_000 }, () => lock('held'));
  for (const one of waiting) one.catch(() => {});
  await sleep(1_000);
  const before = { requests: requests(), cpu: process.cpuUsage() };
  await sleep(5_000);
  return { requests: requests() - before.requests, cpu: cpuSince(before.cpu) };
}

/** 10,000 locks that are held and renewed: what a second of that costs, CPU in µs. */
async function hold(): Promise<Record<'requests' | 'cpu' | 'timers', number>> {
  const requests = countRequests();
  const holder = (holders[name] as (typeof holders)['holdfast'])(url);
  await holdMany(holder.hold, 10_000);
  await sleep(1_000);
  const before = { requests: requests(), cpu: process.cpuUsage() };
  // Whole rounds of renewals of each: every third of the ttl, two thirds or four fifths.
  const seconds = quick ? 8 : 40;
  await sleep(seconds * 1_000);
  const cpu = cpuSince(before.cpu);
  const sent = requests() - before.requests;
  // This sleep has none any more.
  const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  return { requests: sent / seconds, cpu: cpu / seconds, timers };
}

const works: Record<string, () => Promise<unknown>> = {
  sequential,
  '64 in parallel': () => parallel(64),
  'queue of 100': () => queue(100),
  'queue of 1,000': () => queue(1_000),
  compete: () => compete(0),
  'compete, 5 ms': () => compete(5),
  wait,
  hold,
};

const answer = await (works[work] as () => Promise<unknown>)();
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit());
