import { inTurns, median, openChild, quick, type Measurer } from '../harness.ts';
import { onRedis } from '../servers.ts';
import { namesOn } from './clients.ts';
import { pin } from './pin.ts';
import { child, details, PEERS } from './results.ts';

// Fast retries change nothing where nobody waits.
const NAMES = ['holdfast', 'raw ioredis', ...PEERS.filter((name) => !name.endsWith('fast'))];

/** How often each is measured, after so many times for the compilers; and how often all begin anew. */
const MEASURED = quick ? 5 : 20;
const WARM_UPS = quick ? 5 : 10;
const STARTS = quick ? 1 : 3;

/**
 * One lock after the other, long after the start, with a CPU for each side: what a change of the code
 * does to the path is seen best here. No service runs like that, so there is no goal: `alone` has them.
 */
export async function sequential(): Promise<void> {
  await onRedis(async (server, url) => {
    const apart = pin(server.pid, 1);
    await compare('sequential', NAMES, 'raw ioredis', apart, url);
  });
}

/** Ours by a client library, beside the library's own commands. No goals: each library has its own. */
export async function onClient(client: string): Promise<void> {
  for (const work of ['sequential', '64 in parallel']) {
    await onRedis(async (server, url) => {
      const apart = work === 'sequential' && pin(server.pid, 1);
      const names = namesOn(client);
      await compare(work, names, names[1], apart, url);
    });
  }
}

/**
 * What is compared are few per cent: so turns are short, that the machine's moods hit all alike, and
 * nobody's luck with a process lasts.
 */
async function compare(
  work: string,
  names: readonly string[],
  raw: string,
  apart: boolean,
  url: string,
): Promise<void> {
  const starts: Record<string, number>[] = [];
  for (let start = 0; start < STARTS; start++) starts.push(await sideBySide(names, work, url));
  const us = (name: string): number => median(starts.map((one) => one[name] ?? Number.NaN));
  details(
    `${work}: lock + release, warmed up, ${apart ? 'a CPU for each side' : 'on any CPU'}`,
    ['µs', `rate to ${raw}`],
    new Map(names.map((name) => [name, [us(name), us(raw) / us(name)]])),
  );
}

/** Measures all in turns, each in one process. */
async function sideBySide(
  names: readonly string[],
  work: string,
  url: string,
): Promise<Record<string, number>> {
  const children = new Map(names.map((name) => [name, openChild(child, [name, work, url])]));
  const measure = (name: string): Promise<number> => (children.get(name) as Measurer).measure();
  try {
    await inTurns(names, WARM_UPS, measure);
    return await inTurns(names, MEASURED, measure);
  } finally {
    await Promise.all(Array.from(children.values(), (one) => one.end()));
  }
}
