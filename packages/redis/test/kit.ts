import { createLocker, type Locker, type LockerOptions } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';
import { afterEach } from 'vitest';

/** What the store must say of itself wherever it runs. */
export const capabilities = {
  fencing: 'strict',
  wakeUp: 'notify',
  minTtl: 50,
  sharedClock: false,
  exactLoss: true,
} as const;

interface ClientOptions {
  readonly [option: string]: unknown;
}

/** Clients and lockers that end with the test that made them. */
export class Bench {
  private readonly endings: (() => unknown)[] = [];

  constructor(private readonly url: () => string) {
    afterEach(() => this.end());
  }

  client(options: ClientOptions = {}, url = this.url()): Redis {
    const client = new Redis(url, options);
    // What fails is what the tests look at; without a listener ioredis prints it.
    client.on('error', () => {});
    this.onEnd(() => client.disconnect());
    return client;
  }

  locker(client: Redis = this.client(), options: LockerOptions = {}): Locker {
    const locker = createLocker({ store: redisStore(client), ...options });
    this.onEnd(() => locker.close());
    return locker;
  }

  onEnd(ending: () => unknown): void {
    this.endings.unshift(ending);
  }

  private async end(): Promise<void> {
    for (const ending of this.endings.splice(0)) await ending();
  }
}

/** What a key of a lock holds that is free: its last fencing token. */
const REMEMBERED = /^\d{16}$/;

/** Whether a lock is free, by what its key holds. */
export async function isFree(admin: Redis, key: string): Promise<boolean> {
  const value = await admin.get(key);
  return value === null || REMEMBERED.test(value);
}

/** How often the server was asked to run a script: all that a store ever asks about locks. */
export async function calls(admin: Redis): Promise<number> {
  const stats = await admin.info('commandstats');
  const counts = stats.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm);
  let total = 0;
  for (const [, count] of counts) total += Number(count);
  return total;
}

/** The connections of a server, but for the one that asks. */
export async function connections(admin: Redis): Promise<readonly string[]> {
  const list = (await admin.client('LIST')) as string;
  const id = String(await admin.client('ID'));
  return list
    .trim()
    .split('\n')
    .filter((line) => !line.includes(`id=${id} `));
}
