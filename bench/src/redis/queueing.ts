import { atLeast, atMost, round, type Goal } from '../goals.ts';
import { inChild, quick, timedAndCounted } from '../harness.ts';
import { child, details, least, PEERS } from './results.ts';

interface Queue {
  readonly total: number;
  readonly requests: number;
}

/** Retries of 250 ms, each by 1 of 1,000 tasks: minutes. */
const TOO_SLOW = new Set(['verrou', 'redlock-universal']);

/** Whatever is over quickly is measured more often, so that a stall of the machine is not the result. */
async function measure(name: string, work: string, url: string): Promise<Queue> {
  const { requests, ...first } = await timedAndCounted<Queue>(child, [name, work, url]);
  const rounds = [first];
  while (rounds.length < (quick ? 3 : 5) && first.total < 1_000) {
    rounds.push(await inChild<Queue>(child, [name, work, url]));
  }
  rounds.sort((a, b) => a.total - b.total);
  return { ...(rounds[rounds.length >> 1] as Queue), requests };
}

/** Many tasks of one process that want one key. */
export async function queueing(url: string): Promise<Goal[]> {
  const goals: Goal[] = [];
  for (const work of ['queue of 100', 'queue of 1,000']) {
    const results = new Map<string, Queue>();
    for (const name of ['holdfast', ...PEERS]) {
      if (work === 'queue of 1,000' && TOO_SLOW.has(name)) continue;
      results.set(name, await measure(name, work, url));
    }
    details(
      `${work}: tasks of one process, one key`,
      ['ms', 'requests per hand-off'],
      new Map([...results].map(([name, { total, requests }]) => [name, [total, requests]])),
    );
    const ours = results.get('holdfast') as Queue;
    const [name, best] = least(new Map([...results].map(([peer, { total }]) => [peer, total])));
    if (work === 'queue of 100') goals.push(atMost(`${work}: total time`, ours.total, 5, ' ms'));
    goals.push(
      atLeast(`${work}: speed to ${name}, ${round(best)} ms`, best / ours.total, 20),
      atMost(`${work}: requests per hand-off`, ours.requests, 0.1, ''),
    );
  }
  return goals;
}
