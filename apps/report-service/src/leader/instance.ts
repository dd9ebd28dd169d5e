// One instance: campaigns, and while it leads it writes a tick now and then.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, elect } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { REDIS_URL } from '../instances.ts';
import { Ticks } from './ticks.ts';

const TTL = 1_500;
/** What an instance tells of itself: that it has looked and is about to write, or what has become of it. */
export interface Told {
  readonly term: number;
  readonly written?: boolean;
  /** By its own clock, in the statement after. */
  readonly leads?: boolean;
}

/** What it is told: to take its time before its next write, to go on with it, or to end. */
export type Command = 'dawdle' | 'go on' | 'end';

const [run = '', name = '', file = ''] = process.argv.slice(2);
const tell = (told: Told): void => void process.send?.(told);
let dawdles = false;
const redis = new Redis(REDIS_URL);
const ticks = await Ticks.open(file);
const locker = createLocker({ store: redisStore(redis), namespace: run, label: name, ttl: TTL });

const candidate = elect(locker, 'ticker', {
  onElected: async (term, signal) => {
    while (!signal.aborted) {
      if (candidate.isLeader) await act(term);
      await sleep(30);
    }
  },
});

/** It leads, as far as it knows. Between that check and the write, anything may happen. */
async function act(term: number): Promise<void> {
  if (dawdles) {
    dawdles = false;
    tell({ term });
    await once(process, 'message');
  }
  const written = await ticks.add({ term, by: name });
  tell({ term, written, leads: candidate.isLeader });
}

process.on('message', (command: Command) => {
  if (command === 'dawdle') dawdles = true;
  if (command === 'end') void end();
});

async function end(): Promise<void> {
  await candidate.close();
  await locker.close();
  ticks.close();
  redis.disconnect();
  process.disconnect();
}
