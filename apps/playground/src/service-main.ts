// One service, in a process of its own: `service-main <REDIS_URL> <ledger> <index> <locked|unlocked>`.
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { readTransfers } from './ledger.ts';
import { RedisLedger } from './redis-ledger.ts';
import { locked, NAMES, postAll, unlocked, type Glimpse } from './services.ts';
import { Statistics } from './statistics.ts';

/** What a service tells the one that has started it. */
export type Told =
  | { readonly what: 'ready' }
  | {
      readonly what: 'progress';
      readonly done: number;
      readonly glimpse: Glimpse;
      readonly handoffs: number;
    }
  | { readonly what: 'finished'; readonly done: number; readonly statistics: Statistics };

/** A message so often, in ms. */
const EVERY = 25;

const [url = '', key = '', place = '', how] = process.argv.slice(2);
const index = Number(place);
const tell = (told: Told): void => void process.send?.(told);

const client = new Redis(url);
const ledger = new RedisLedger(client, key);
const name = NAMES[index] ?? place;
const locker = createLocker({ store: redisStore(client), name, label: name });
const services = [{ name, locker }];
const statistics = new Statistics(services);
// Each its share.
const transfers = readTransfers().filter((_, line) => line % NAMES.length === index);

let nextAt = 0;
const watch = (done: number, [glimpse]: readonly Glimpse[]): void => {
  if (performance.now() < nextAt || glimpse === undefined) return;
  nextAt = performance.now() + EVERY;
  tell({ what: 'progress', done, glimpse, handoffs: statistics.handoffs });
};

await client.ping();
tell({ what: 'ready' });
// All begin at once.
await new Promise((resolve) => process.once('message', resolve));
await postAll(services, transfers, how === 'locked' ? locked(ledger) : unlocked(ledger), watch);
await locker.close();
client.disconnect();
tell({ what: 'finished', done: transfers.length, statistics });
process.disconnect();
