import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

const OURS = '{holdfast:held}';
/** What each library's `held` is on the server. */
const NAMES = ['held', 'mutex:held', 'lock:held', OURS];

/**
 * Does some work while the key `held` is somebody else's, for each library in its own words: it stands on
 * the server, and nobody looks after it, which would cost too.
 */
export async function whileHeld<T>(url: string, work: () => Promise<T>): Promise<T> {
  const client = new Redis(url);
  try {
    const locker = createLocker({ store: redisStore(client) });
    await locker.lock('held');
    const ours = (await client.get(OURS)) ?? '';
    if (ours === '') throw new Error(`There is no ${OURS} while it is held.`);
    await locker.close();
    for (const name of NAMES) {
      await client.set(name, name === OURS ? ours : 'held', 'PX', 600_000);
    }
    return await work();
  } finally {
    await client.del(...NAMES);
    client.disconnect();
  }
}
