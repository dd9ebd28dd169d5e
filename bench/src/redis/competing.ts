import { atLeast, atMost, round, type Goal } from '../goals.ts';
import { inChild } from '../harness.ts';
import { LONG_TURNS } from './peers.ts';
import { child, details, least, PEERS } from './results.ts';

interface Part {
  readonly holds: readonly (readonly [granted: number, released: number])[];
  readonly count: number;
  readonly requests: number;
  /** Whether it began after the others. */
  readonly late: boolean;
}

interface Competition {
  /** Hand-offs a second. */
  readonly rate: number;
  /** Between a release and the next grant, in any process, in µs; the median. */
  readonly gap: number;
  readonly requests: number;
  /** 1 if all processes held equally often, 1 / 4 if only one did. */
  readonly fairness: number;
}

const PROCESSES = 4;
/** How long they may take to start, and how long they run, in s. */
const START = 4;
const RUN = 4;

async function together(
  name: string,
  work: string,
  url: string,
  more: readonly string[] = [],
): Promise<Part[]> {
  // Again, with more time to start, if one of them was not there when it began; but not for ever.
  for (let time = START; ; time *= 2) {
    const start = Number(process.hrtime.bigint()) / 1e6 + time * 1_000;
    const args = [name, work, url, String(start), ...more];
    const parts = await Promise.all(
      Array.from({ length: PROCESSES }, () => inChild<Part>(child, args)),
    );
    if (time > 2 * START || !parts.some(({ late }) => late)) return parts;
  }
}

/** To count requests costs those most who send most, so they are counted in another run. */
async function compete(name: string, work: string, url: string): Promise<Competition> {
  const parts = await together(name, work, url);
  const counted = await together(name, work, url, ['--count']);
  const counts = parts.map(({ count }) => count);
  const total = sumOf(parts, 'count');
  const squares = counts.reduce((sum, count) => sum + count ** 2, 0);
  const holds = parts.flatMap((part) => part.holds).toSorted(([a], [b]) => a - b);
  const gaps = holds.slice(1).map(([granted], index) => granted - (holds[index]?.[1] ?? 0));
  return {
    rate: total / RUN,
    // Who passes nothing on is not the quickest.
    gap: (gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? Number.POSITIVE_INFINITY) * 1_000,
    requests: sumOf(counted, 'requests') / sumOf(counted, 'count'),
    fairness: total ** 2 / (PROCESSES * squares),
  };
}

const sumOf = (parts: readonly Part[], figure: 'count' | 'requests'): number =>
  parts.reduce((sum, part) => sum + part[figure], 0);

async function all(
  work: string,
  url: string,
  ours: readonly string[],
): Promise<Map<string, Competition>> {
  const results = new Map<string, Competition>();
  for (const name of [...ours, ...PEERS]) results.set(name, await compete(name, work, url));
  details(
    `4 processes × 25 tasks, one key, ${work}`,
    ['hand-offs/s', 'hand-off p50 µs', 'requests per hand-off', 'fairness'],
    new Map(
      [...results].map(([name, { rate, gap, requests, fairness }]) => [
        name,
        [rate, gap, requests, fairness],
      ]),
    ),
  );
  return results;
}

/** Several processes that want one key. */
export async function competing(url: string): Promise<Goal[]> {
  const idle = await all('compete', url, ['holdfast', LONG_TURNS]);
  const { rate } = idle.get('holdfast') as Competition;
  const [fastest, slowness] = least(new Map([...idle].map(([name, one]) => [name, -one.rate])));

  const work = '4 processes, hold 5 ms';
  const busy = await all('compete, 5 ms', url, ['holdfast']);
  const ours = busy.get('holdfast') as Competition;
  const [name, gap] = least(new Map([...busy].map(([peer, one]) => [peer, one.gap])));
  return [
    atLeast(
      `4 processes, hold 0: hand-offs to ${fastest}, ${round(-slowness)}/s`,
      rate / -slowness,
      50,
    ),
    atMost(`${work}: hand-off p50`, ours.gap, 40, ' µs'),
    atLeast(`${work}: speed of a hand-off to ${name}, ${round(gap)} µs`, gap / ours.gap, 5),
    atMost(`${work}: requests per hand-off`, ours.requests, 0.4, ''),
    atLeast(`${work}: fairness`, ours.fairness, 0.95, ''),
  ];
}
