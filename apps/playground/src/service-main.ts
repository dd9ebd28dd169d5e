// One service, in a process of its own: `service-main <REDIS_URL> <ledger> <index>`. It posts its share of
// the transfers each time that it is told how, until its parent leaves.
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { RedisLedger, transfersOverRedis } from './redis-ledger.ts';
import { locked, NAMES, postAll, unlocked, type Glimpse } from './services.ts';
import { Statistics } from './statistics.ts';

/** What a service is told. */
export type How = 'locked' | 'unlocked';

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

const [url = '', key = '', place = ''] = process.argv.slice(2);
const index = Number(place);
const tell = (told: Told): void => void process.send?.(told);

const client = new Redis(url);
const ledger = new RedisLedger(client, key);
const name = NAMES[index] ?? place;
const locker = createLocker({ store: redisStore(client), name, label: name });
const services = [{ name, locker }];
const statistics = new Statistics(services);
// Each its share.
const transfers = transfersOverRedis().filter((_, line) => line % NAMES.length === index);

let nextAt = 0;
const watch = (done: number, [glimpse]: readonly Glimpse[]): void => {
  if (performance.now() < nextAt || glimpse === undefined) return;
  nextAt = performance.now() + EVERY;
  tell({ what: 'progress', done, glimpse, handoffs: statistics.handoffs });
};

async function post(how: How): Promise<void> {
  await postAll(services, transfers, how === 'locked' ? locked(ledger) : unlocked(ledger), watch);
  tell({ what: 'finished', done: transfers.length, statistics });
}

process.on('message', (how: How) => void post(how));
process.once('disconnect', () => void locker.close().then(() => client.disconnect()));
await client.ping();
tell({ what: 'ready' });
