import type { Audit } from './ledger.ts';
import { count, money, paint, say, seconds } from './screen.ts';
import type { Statistics } from './statistics.ts';

export function headline(transfers: number, accounts: number, by: string): string {
  const workload = `${count(transfers)} transfers between ${accounts} accounts`;
  return paint('bold', `Holdfast: ${workload}, posted by ${by}`);
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

export function conclude({ damage, audit, statistics, transfers, took }: Outcome): void {
  const rate = count(Math.round(transfers / (took / 1_000)));
  const pace = paint('dim', `(${seconds(took)}, ${rate} transfers a second)`);
  say(`\n   ${verdict(audit)} ${pace}`);
  const { acquired, waited, handoffs, longestWait, lost } = statistics;
  say(
    `   ${count(acquired)} times both accounts locked, ${count(waited)} of them after a wait ` +
      `(${Math.round(longestWait)} ms the longest), ${count(handoffs)} hand-offs, ${lost} locks lost.`,
  );
  say(`\n   ${paint('cyan', 'await locker.withLock([from, to], (lock) => post(transfer))')}\n`);
  if (damage.lostUpdates === 0) {
    say('The run without locks lost nothing, so this run has shown nothing.');
    process.exitCode = 1;
  }
  if (audit.lostUpdates > 0 || audit.offCents > 0) process.exitCode = 1;
}
