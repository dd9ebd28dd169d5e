// One library at one size in a process of its own, without a server: `memory-child.js <work> <library> <size>`.
import { setTimeout as sleep } from 'node:timers/promises';
import { variants, type Start } from '../alone/variants.ts';
import { cpuSince, heapUsed } from '../usage.ts';

const [work, library, size] = process.argv.slice(2) as ['waiters' | 'held', string, string];
const count = Number(size);
/** Locks that are taken and released to tell what one costs. */
const SAMPLES = 100_000;

const turn = await ((variants.memory as Record<string, Start>)[library] as Start)('');
const hold = turn.hold as NonNullable<typeof turn.hold>;

/** Whoever drops the handle of a lock has it renewed no more. */
const kept: unknown[] = [];

/** CPU of some work, in µs. */
async function cpuOf(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  return cpuSince(before);
}

async function samples(): Promise<void> {
  for (let sample = 0; sample < SAMPLES; sample++) await turn('key');
}

const works = {
  /** Tasks that want one key at once, until all have had it; and tasks that wait for one that stays held. */
  waiters: async () => {
    const rounds = Math.ceil(SAMPLES / count);
    const run = async (): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        await Promise.all(Array.from({ length: count }, () => turn('key')));
      }
    };
    await run();
    const waiting = (await cpuOf(run)) / (rounds * count);
    kept.push(await hold('held'));
    for (let task = 0; task < count; task++) void turn('held');
    await sleep(0);
    return { waiting, waitingHeap: heapUsed() };
  },

  /** One lock more, again and again, beside so many that are held. */
  held: async () => {
    for (let index = 0; index < count; index++) kept.push(await hold(`key:${index}`));
    await samples();
    const held = (await cpuOf(samples)) / SAMPLES;
    return { held, heldHeap: heapUsed() };
  },
};

process.stdout.write(`${JSON.stringify(await works[work]())}\n`, () => process.exit());
