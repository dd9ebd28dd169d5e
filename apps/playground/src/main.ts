// The same transfers twice: without locks, and with them.
import { createLocker, memoryStore } from '@holdfast/core';
import { Ledger, readTransfers, type Audit } from './ledger.ts';
import { count, money, paint, say, seconds } from './screen.ts';
import { locked, postAll, unlocked, type Service } from './services.ts';
import { Statistics } from './statistics.ts';
import { Timeline } from './timeline.ts';

const NAMES = ['billing', 'orders', 'payouts', 'refunds'];

/** Several services, as several processes would be: each with a locker of its own, on one store. */
function startServices(): Service[] {
  const store = memoryStore();
  return NAMES.map((name) => ({ name, locker: createLocker({ store, name }) }));
}

function verdict({ lostUpdates, wrongAccounts, offCents }: Audit, ledger: Ledger): string {
  if (lostUpdates === 0 && offCents === 0) {
    return paint('green', '✔ nothing lost, the books balance to the cent');
  }
  const lost = `${count(lostUpdates)} updates lost`;
  const off = `${wrongAccounts} of ${ledger.size} accounts off by ${money(offCents)} in all`;
  return paint('red', `✘ ${lost}, ${off}`);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

const transfers = readTransfers();
const services = startServices();
const statistics = new Statistics(services);
const books = new Ledger();
const workload = `${count(transfers.length)} transfers between ${books.size} accounts`;
say(paint('bold', `Holdfast: ${workload}, posted by ${services.length} services at once`));

say(`\n${paint('bold', '1. Without locks')}`);
const careless = await timed(() => postAll(services, transfers, unlocked(books), () => {}));
const damage = books.audit();
say(`   ${verdict(damage, books)} ${paint('dim', `(${seconds(careless)})`)}`);

say(`\n${paint('bold', '2. With a lock on both accounts of each transfer')}`);
const ledger = new Ledger();
const timeline = new Timeline(services, () => statistics.handoffs);
const took = await timed(() => postAll(services, transfers, locked(ledger), timeline.watch));
const audit = ledger.audit();
await Promise.all(services.map(({ locker }) => locker.close()));

const rate = count(Math.round(transfers.length / (took / 1_000)));
say(
  `\n   ${verdict(audit, ledger)} ${paint('dim', `(${seconds(took)}, ${rate} transfers a second)`)}`,
);
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
