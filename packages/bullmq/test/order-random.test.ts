// Workers, keys and jobs at random: nobody overlaps, nobody is forgotten, and nothing is left behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker, memoryStore } from '@holdfast/core';
import { guard } from '@holdfast/bullmq';
import { seededRandom } from '@holdfast/testing';
import type { Job } from 'bullmq';
import { expect, test } from 'vitest';
import { completed, Log, range, until, type Data } from './kit/index.ts';
import { OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();

interface Keyed extends Data {
  readonly keys: readonly string[];
}

test.each(range(24))(
  'jobs at random never overlap, and none is forgotten (seed %i)',
  async (seed) => {
    // The same in every run; what it meets is not.
    const random = seededRandom(seed);
    const upTo = (most: number): number => Math.ceil(random() * most);
    const chance = (): boolean => random() < 1 / 3;
    const [keys, workers, concurrency, count] = [upTo(3), upTo(3), upTo(6), 10 + upTo(15)];
    const [several, failing, waiting, priorities, inMemory] = range(5).map(chance);
    const queue = site.queue();
    const store = memoryStore();
    const log = new Log();

    const work = async (job: Job<Data>): Promise<void> => {
      const { n = 0, keys: held } = job.data as Keyed;
      const ends = held.map((key) => log.begin({ key, n }));
      await sleep(upTo(4));
      for (const end of ends) end();
      if (failing && n % 5 === 0 && job.attemptsMade === 0) throw new Error('once');
    };
    for (let index = 0; index < workers; index++) {
      const locker = inMemory ? createLocker({ store }) : site.locker();
      site.atEnd(() => locker.close());
      const key = (job: Job<Data>) => (job.data as Keyed).keys;
      const options = site.options(queue, { locker, key, wait: waiting ? 20 : 0 });
      site.worker(queue, guard(options, work), { concurrency });
    }
    for (const n of range(count)) {
      const asked = range(several ? 2 : 1).map(() => `k${upTo(keys)}`);
      const data: Keyed = { key: 'k', keys: [...new Set(asked)], n };
      await queue.add('work', data, { attempts: 2, priority: priorities ? upTo(3) : 0 });
      if (chance()) await sleep(upTo(5));
    }

    // Nobody starts by itself here, see `NEVER`: whoever is not woken is never done.
    await completed(queue, count);
    expect(log.overlaps).toEqual([]);
    const inOrder = keys === 1 && !failing && !priorities;
    expect(inOrder ? log.ended.filter((n, index) => n !== index + 1) : []).toEqual([]);
    await until(async () => (await site.traces(queue)).length === 0);
  },
);
