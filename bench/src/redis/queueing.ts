import { inChild } from '../harness.ts';
import { absolute, child, compared, details, least, PEERS, round, type Row } from './results.ts';

interface Queue {
  readonly total: number;
  readonly requests: number;
}

/** Retries of 250 ms, each by 1 of 1,000 tasks: minutes. */
const TOO_SLOW = new Set(['verrou', 'redlock-universal']);

/** Whatever is over quickly is measured more often, so that a stall of the machine is not the result. */
async function measure(name: string, work: string, url: string): Promise<Queue> {
  const rounds: Queue[] = [];
  do rounds.push(await inChild<Queue>(child, [name, work, url]));
  while (rounds.length < 5 && (rounds[0] as Queue).total < 1_000);
  rounds.sort((a, b) => a.total - b.total);
  return rounds[rounds.length >> 1] as Queue;
}

/** Many tasks of one process that want one key. */
export async function queueing(url: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (const work of ['queue of 100', 'queue of 1,000']) {
    const results = new Map<string, Queue>();
    for (const name of ['holdfast', ...PEERS]) {
      if (work === 'queue of 1,000' && TOO_SLOW.has(name)) continue;
      results.set(name, await measure(name, work, url));
    }
    const figures = [...results].map(
      ([name, { total, requests }]) => [name, [total, requests]] as const,
    );
    details(
      `${work}: tasks of one process, one key`,
      ['ms', 'requests per hand-off'],
      new Map(figures),
    );
    const ours = results.get('holdfast') as Queue;
    const [name, best] = least(new Map(figures.map(([peer, [total]]) => [peer, total ?? 0])));
    const totals = [`${round(ours.total)} ms`, `${name} ${round(best)} ms`] as const;
    rows.push(compared(work, 'total time', totals, best / ours.total, 20));
    rows.push(absolute(work, 'requests per hand-off', ours.requests, '≤ 0.1'));
  }
  return rows;
}
