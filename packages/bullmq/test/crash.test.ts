// Workers that are killed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Queue } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { useProgram } from './kit/bundle.ts';
import { add, completed, jobsOf, range, Site, traces, until, type Data } from './kit/index.ts';
import type { Instructions } from './programs/worker.ts';

const site = new Site();
const program = useProgram('worker');

/** A process with a worker. */
function start(queue: Queue<Data>, told: Partial<Instructions>) {
  const instructions = { url: site.redis.url, name: queue.name, ordered: true, ms: 5, ...told };
  const child = spawn(process.execPath, [program.file, JSON.stringify(instructions)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  site.atEnd(kill);
  return { kill, ended };
}

interface Line {
  readonly what: string;
  readonly n: number;
  readonly token: number;
}

async function logOf(queue: Queue<Data>): Promise<Line[]> {
  const lines = await site.client().lrange(`${queue.name}:log`, 0, -1);
  return lines.map((line) => {
    const [what = '', n, token] = line.split(' ');
    return { what, n: Number(n), token: Number(token) };
  });
}

const begun = async (queue: Queue<Data>): Promise<number[]> =>
  (await logOf(queue)).filter(({ what }) => what === 'begin').map(({ n }) => n);

/** The BullMQ of a worker that finds out soon that another one died. */
const soon = {
  lockDuration: 1_000,
  stalledInterval: 300,
  maxStalledCount: 20,
  drainDelay: 1,
  concurrency: 3,
};

/** Its own jobs are safe from being taken for those of a dead worker, however slow the machine is. */
const patient = { ...soon, lockDuration: 30_000 };

/** A worker that holds the lock of its first job and is killed, with two more jobs parked behind. */
async function killHolder(queue: Queue<Data>, told: Partial<Instructions>): Promise<void> {
  const holder = start(queue, { ...told, ms: 3_600_000 });
  for (const n of range(3)) await add(queue, { key: 'k', n });
  await until(async () => (await begun(queue)).length === 1);
  await until(async () => (await queue.getDelayedCount()) === 2);
  await holder.kill();
}

async function eachOnce(queue: Queue<Data>, count: number): Promise<void> {
  await completed(queue, count);
  expect(await queue.getFailedCount()).toBe(0);
  const ends = (await logOf(queue)).filter(({ what }) => what === 'end').map(({ n }) => n);
  expect(ends.toSorted((a, b) => a - b)).toEqual(range(count));
}

describe('when the holder of a lock is killed', () => {
  test.each([true, false])(
    'another worker completes its job once, and those behind it (order: %s)',
    async (ordered) => {
      const queue = site.queue();
      const told = { ordered, guard: { ttl: 1_200, delay: 300 } };
      await killHolder(queue, { ...told, worker: soon });
      start(queue, { ...told, worker: patient });
      await eachOnce(queue, 3);
      expect((await jobsOf(queue)).map((job) => job.attemptsMade)).toEqual([1, 1, 1]);
    },
  );

  test("with `owner: 'job'` its job does not wait for its lease, and the order is kept", async () => {
    const queue = site.queue();
    const guard = { ttl: 3_600_000, delay: 300, owner: 'job' } as const;
    await killHolder(queue, { guard, worker: soon });
    start(queue, { guard, worker: patient });
    await eachOnce(queue, 3);
    expect(await begun(queue)).toEqual([1, 1, 2, 3]);
    const tokens = (await logOf(queue)).filter(({ what }) => what === 'begin');
    expect(tokens[1]?.token).toBeGreaterThan(tokens[0]?.token ?? Infinity);
  });

  test('the jobs behind its job run when its lease is over, long before BullMQ finds out', async () => {
    const queue = site.queue();
    const worker = { lockDuration: 3_600_000, concurrency: 3, drainDelay: 1 };
    const told = { guard: { ttl: 1_000, delay: 300 }, worker };
    await killHolder(queue, told);
    start(queue, told);
    await completed(queue, 2);
    expect(await begun(queue)).toEqual([1, 2, 3]);
    expect(await queue.getActiveCount()).toBe(1);
  });
});

describe('a worker that wakes others and is killed at any moment', () => {
  /** Five jobs, a worker that dies at some moment, and another one that goes on. */
  async function dieAt(moment: number): Promise<void> {
    const queue = site.queue();
    for (const n of range(5)) await add(queue, { key: 'k', n });
    const told = {
      guard: { ttl: 3_600_000, delay: 300, owner: 'job' } as const,
      worker: soon,
      ms: 20,
    };
    const first = start(queue, { ...told, dieAt: moment });
    await Promise.race([first.ended, completed(queue, 5)]);
    const died = (await queue.getCompletedCount()) < 5;
    await first.kill();
    if (died) start(queue, { ...told, worker: patient });
    await completed(queue, 5);
    expect(await queue.getFailedCount()).toBe(0);
    const log = await logOf(queue);
    // None lost, no two at once. One that was killed after its work runs again, which is BullMQ's way.
    expect(new Set(log.map(({ n }) => n))).toEqual(new Set(range(5)));
    const firsts = log.filter(
      ({ what, n }, index) =>
        what === 'begin' && log.findIndex((line) => line.what === what && line.n === n) === index,
    );
    expect(firsts.map(({ n }) => n)).toEqual(range(5));
    const tokens = log.filter(({ what }) => what === 'begin').map(({ token }) => token);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    await until(async () => (await traces(site.client(), queue)).length === 0);
  }

  test.each([1, 7, 13, 19, 25, 31])('loses no job, and keeps the order (from %s)', async (from) => {
    await Promise.all([0, 1, 2, 3, 4, 5].map((more) => dieAt(from + more)));
  });
});
