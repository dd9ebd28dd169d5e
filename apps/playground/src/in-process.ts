import { createLocker, memoryStore } from '@holdfast/core';
import { Ledger, readTransfers } from './ledger.ts';
import { conclude, headline, timed, verdict } from './report.ts';
import { paint, say, seconds } from './screen.ts';
import { locked, NAMES, postAll, unlocked, type Service } from './services.ts';
import { Statistics } from './statistics.ts';
import { Timeline } from './timeline.ts';

/** Several services, as several processes would be: each with a locker of its own, on one store. */
function startServices(): Service[] {
  const store = memoryStore();
  return NAMES.map((name) => ({ name, locker: createLocker({ store, name }) }));
}

/** The same transfers twice, in this process: without locks, and with them. */
export async function demonstrate(): Promise<void> {
  const transfers = readTransfers();
  const services = startServices();
  const statistics = new Statistics(services);
  const books = new Ledger();
  say(headline(transfers.length, books.size, `${services.length} services at once`));

  say(`\n${paint('bold', '1. Without locks')}`);
  const careless = await timed(() => postAll(services, transfers, unlocked(books), () => {}));
  const damage = books.audit();
  say(`   ${verdict(damage)} ${paint('dim', `(${seconds(careless)})`)}`);

  say(`\n${paint('bold', '2. With a lock on both accounts of each transfer')}`);
  const ledger = new Ledger();
  const timeline = new Timeline(services, () => statistics.handoffs);
  const took = await timed(() => postAll(services, transfers, locked(ledger), timeline.watch));
  await Promise.all(services.map(({ locker }) => locker.close()));
  conclude({ damage, audit: ledger.audit(), statistics, transfers: transfers.length, took });
}
