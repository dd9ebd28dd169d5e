/**
 * One library at one size, in a process of its own. It says when it is ready, and when it is told to go
 * it measures for a while and answers with its {@link Measured}.
 *
 * `child.js <axis> <library> <size> <address> <ms>`
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { holders, holdMany } from '../redis/holders.ts';
import { variants, type Take } from '../redis/peers.ts';
import { cpuSince, heapUsed } from '../usage.ts';
import type { AxisName } from './axes.ts';

export interface Measured {
  /** What was done meanwhile, of whatever the costs are told. */
  readonly done: number;
  /** CPU of this process, in µs. */
  readonly cpu: number;
  /** In MB. */
  readonly heap: number;
}

const [axis, library, size, address, ms] = process.argv.slice(2) as [
  Exclude<AxisName, 'memory'>,
  string,
  string,
  string,
  string,
];
const count = Number(size);

/** Waits for the word to go, then measures. */
async function measure(done: () => number, begin = (): void => {}): Promise<Measured> {
  process.send?.('ready');
  await once(process, 'message');
  begin();
  const before = { done: done(), cpu: process.cpuUsage() };
  await sleep(Number(ms));
  const figures = { done: done() - before.done, cpu: cpuSince(before.cpu) };
  return { ...figures, heap: heapUsed() };
}

const take = (): Promise<Take> => (variants[library] as (url: string) => Promise<Take>)(address);

async function waiters(): Promise<Measured> {
  const lock = await take();
  for (let waiting = 0; waiting < count; waiting++) lock('held').catch(() => {});
  await sleep(2_000);
  // In seconds: who keeps the event loop busy has late timers.
  return measure(() => performance.now() / 1_000);
}

async function held(): Promise<Measured> {
  const { hold } = (holders[library] as (typeof holders)['holdfast'])(address);
  await holdMany(hold, count);
  await sleep(1_000);
  return measure(() => (count * performance.now()) / 1_000);
}

async function keys(): Promise<Measured> {
  const lock = await take();
  let done = 0;
  const task = async (index: number): Promise<never> => {
    for (;;) {
      // By halves: of many keys, many are held at either end of the time.
      const release = await lock(`key:${index}`);
      done += 0.5;
      await release();
      done += 0.5;
    }
  };
  for (let index = 0; index < count; index++) void task(index);
  await sleep(2_000);
  return measure(() => done);
}

async function processes(): Promise<Measured> {
  const lock = await take();
  await (
    await lock(`warm-up:${process.pid}`)
  )();
  let done = 0;
  const task = async (): Promise<never> => {
    for (;;) {
      const release = await lock('key');
      await sleep(5);
      await release();
      done += 1;
    }
  };
  return measure(
    () => done,
    () => void task(),
  );
}

const works: Record<Exclude<AxisName, 'memory'>, () => Promise<Measured>> = {
  waiters,
  held,
  keys,
  processes,
};
// Whoever started it ends it.
process.send?.(await works[axis]());
