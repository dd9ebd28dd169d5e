// What is left in Redis of jobs in order.
import { guard } from '@holdfast/bullmq';
import { describe, expect, test } from 'vitest';
import { add, addMany, completed, jobNow, until } from './kit/index.ts';
import { parked, OrderedSite } from './kit/ordered.ts';

const site = new OrderedSite();

describe('the order', () => {
  test('leaves no key behind when a parked job is removed', async () => {
    const queue = site.queue();
    const { log, end } = await site.heldWorker(queue);
    const [first, second] = [
      await add(queue, { key: 'k', n: 1 }),
      await add(queue, { key: 'k', n: 2 }),
    ];
    await parked(queue, 2);
    await first.remove();
    end.open();
    await completed(queue, 2);
    expect(log.ended).toEqual([0, 2]);
    expect((await jobNow(queue, second)).attemptsStarted).toBe(2);
    await until(async () => (await site.traces(queue)).length === 0);
  });

  test.each(['removed', 'drained', 'obliterated'])(
    'leaves no key behind when the jobs are %s while other code holds the lock',
    async (how) => {
      const queue = site.queue();
      const lock = await site.locker().lock('k');
      const worker = site.worker(
        queue,
        // None starts by itself meanwhile, however busy the machine is.
        guard(site.options(queue, { delay: 4_000 }), async () => {}),
        {
          concurrency: 3,
        },
      );
      await addMany(queue, 3);
      await parked(queue, 3);
      expect(await site.traces(queue)).not.toEqual([]);
      if (how === 'removed') for (const job of await queue.getDelayed()) await job.remove();
      if (how === 'drained') await queue.drain(true);
      if (how === 'obliterated') {
        await worker.pause();
        await queue.obliterate({ force: true });
      }
      await until(async () => (await site.traces(queue)).length === 0);
      await lock.release();
    },
  );

  test('leaves nothing for ever: what a crash leaves expires', async () => {
    const queue = site.queue();
    const { end } = await site.heldWorker(queue);
    await addMany(queue, 1);
    await parked(queue, 1);
    const client = site.client();
    const left = await Promise.all((await site.traces(queue)).map((key) => client.pttl(key)));
    expect(left.length).toBeGreaterThanOrEqual(2);
    for (const ms of left) {
      expect(ms).toBeGreaterThan(0);
      expect(ms).toBeLessThanOrEqual(86_400_000);
    }
    end.open();
    await completed(queue, 2);
  });
});
