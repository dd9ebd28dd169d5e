import { createLocker, memoryStore } from '@holdfast/core';
import { Ledger, readTransfers } from './ledger.ts';
import { conclude, headline, timed, verdict } from './report.ts';
import { paint, seconds } from './screen.ts';
import { locked, NAMES, postAll, unlocked, type Service } from './services.ts';
import type { Stage } from './stage.ts';
import { Statistics } from './statistics.ts';
import { Timeline } from './timeline.ts';

/** Several services, as several processes would be: each with a locker of its own, on one store. */
function startServices(): Service[] {
  const store = memoryStore();
  return NAMES.map((name) => ({ name, locker: createLocker({ store, name }) }));
}

/** The same transfers twice, in this process: without locks, and with them. */
export async function demonstrate(stage: Stage): Promise<void> {
  const transfers = readTransfers();
  const services = startServices();
  const statistics = new Statistics(services);
  const books = new Ledger();
  const title = headline(2, transfers.length, books.size, `${services.length} services`);
  stage.conclude('careless', [title]);
  const careless = await timed(() => postAll(services, transfers, unlocked(books), () => {}));
  const damage = books.audit();
  stage.show('careless', [title, `   ${verdict(damage)}`]);
  stage.tell(`   ${verdict(damage)} ${paint('dim', `(${seconds(careless)})`)}`);
  const ledger = new Ledger();
  const timeline = new Timeline(stage, transfers.length);
  const took = await timed(() => postAll(services, transfers, locked(ledger), timeline.watch));
  await Promise.all(services.map(({ locker }) => locker.close()));
  conclude(stage, timeline, {
    damage,
    audit: ledger.audit(),
    statistics,
    transfers: transfers.length,
    took,
  });
}
