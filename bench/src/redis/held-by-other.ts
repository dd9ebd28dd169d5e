import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

/** What each library's `held` is on the server. */
const NAMES = ['held', 'mutex:held', 'lock:held'];

/** Does some work while the key `held` is somebody else's, for each library in its own words. */
export async function whileHeld<T>(url: string, work: () => Promise<T>): Promise<T> {
  const client = new Redis(url);
  const locker = createLocker({ store: redisStore(client) });
  try {
    for (const name of NAMES) await client.set(name, 'held', 'PX', 600_000);
    await locker.lock('held');
    return await work();
  } finally {
    await locker.close();
    await client.del(...NAMES);
    client.disconnect();
  }
}
