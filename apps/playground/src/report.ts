import type { Audit } from './ledger.ts';
import { count, money, paint, seconds } from './screen.ts';
import type { Stage } from './stage.ts';
import type { Statistics } from './statistics.ts';
import type { Timeline } from './timeline.ts';

export function headline(number: number, transfers: number, accounts: number, by: string): string {
  const workload = `${count(transfers)} transfers between ${accounts} accounts`;
  return paint('bold', `${number}. ${workload} by ${by} at once, without locks`);
}

export function verdict({ accounts, lostUpdates, wrongAccounts, offCents }: Audit): string {
  if (lostUpdates === 0 && offCents === 0) {
    return paint('green', '✔ nothing lost, the books balance to the cent');
  }
  const lost = `${count(lostUpdates)} updates lost`;
  const off = `${wrongAccounts} of ${accounts} accounts off by ${money(offCents)} in all`;
  return paint('red', `✘ ${lost}, ${off}`);
}

/** How long some work took, in ms. */
export async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** What there is to say in the end. */
interface Outcome {
  /** Of the books that were kept without locks. */
  readonly damage: Audit;
  readonly audit: Audit;
  readonly statistics: Statistics;
  readonly transfers: number;
  /** ms. */
  readonly took: number;
}

export function conclude(
  stage: Stage,
  timeline: Timeline,
  { damage, audit, statistics, transfers, took }: Outcome,
): void {
  const rate = count(Math.round(transfers / (took / 1_000)));
  const { acquired, waited, handoffs, longestWait, lost } = statistics;
  timeline.end([
    `   ${verdict(audit)} ${paint('dim', `(${seconds(took)}, ${rate} a second)`)}`,
    `   ${count(acquired)} times both locked, ${count(waited)} after a wait of ${Math.round(longestWait)} ms at most`,
    `   ${count(handoffs)} hand-overs without a request, ${lost} locks lost`,
    '',
    `   ${paint('cyan', 'await locker.withLock([from, to], (lock) => post(transfer))')}`,
  ]);
  if (damage.lostUpdates === 0) {
    stage.conclude('failed', ['The run without locks lost nothing: nothing was shown.']);
    process.exitCode = 1;
  }
  if (audit.lostUpdates > 0 || audit.offCents > 0) process.exitCode = 1;
}
