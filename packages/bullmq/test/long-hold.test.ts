// Jobs whose key is held for long. The whole length, with the default safety delay:
// HELD_FOR=25000 pnpm vitest run --project bullmq long-hold
import { guard } from '@holdfast/bullmq';
import type { Job } from 'bullmq';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { add, completed, jobsOf, Log, range, until, type Data } from './kit/index.ts';
import { OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();
const given = process.env['HELD_FOR'];
/** In ms. Else several safety delays pass too, with ample time to look after the jobs. */
const [HELD, DELAY] = given === undefined ? [9_000, 4_000] : [Number(given), 1_000];

describe(`while a key is held for ${HELD} ms`, () => {
  test.each(['a job', 'other code'])(
    'each of ten jobs that wait for it is started three times at most (held by %s)',
    async (who) => {
      const queue = site.queue(`long-hold-${who.replace(' ', '-')}-${process.pid}`);
      const key = `key of ${who}`;
      const log = new Log();
      const started = site.gate();
      const processor = async (job: Job<Data>): Promise<void> => {
        const done = log.begin(job.data);
        started.open();
        if (job.data.n === 0) await sleep(HELD);
        done();
      };
      const locker = site.locker();
      const lock = who === 'a job' ? undefined : await locker.lock(key);
      site.worker(queue, guard(site.options(queue, { locker, delay: DELAY }), processor), {
        concurrency: 4,
      });
      if (lock === undefined) {
        await add(queue, { key, n: 0 });
        await started.opened;
      }
      await queue.addBulk(range(10).map((n) => ({ name: 'work', data: { key, n } })));
      await until(async () => (await queue.getDelayedCount()) === 10);
      if (lock !== undefined) {
        await sleep(HELD);
        await lock.release();
      }
      await completed(queue, lock === undefined ? 11 : 10);
      expect(log.ended.filter((n) => n > 0)).toEqual(range(10));
      expect(log.overlaps).toEqual([]);
      const starts = (await jobsOf(queue)).map((job) => job.attemptsStarted);
      expect(Math.max(...starts)).toBeLessThanOrEqual(3);
    },
  );
});
