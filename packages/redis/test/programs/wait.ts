// Waits for a lock, takes it, frees it, and says so.
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

const [url = '', key = ''] = process.argv.slice(2);
const client = new Redis(url);
const locker = createLocker({ store: redisStore(client) });
locker.on('waiting', () => process.stdout.write('waiting\n'));
await locker.withLock(key, (lock) => {
  lock.assertHeld();
  process.stdout.write(`held ${lock.fencingToken}\n`);
});
await locker.close();
await client.quit();
