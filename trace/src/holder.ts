// Another process: holds the lock of a key until it is told to release it.
import { once } from 'node:events';
import { createLocker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

const [url = '', key = ''] = process.argv.slice(2);
const client = new Redis(url);
const locker = createLocker({ store: redisStore(client) });
const lock = await locker.lock(key);
process.send?.('held');
await once(process, 'message');
await lock.release();
await locker.close();
await client.quit();
process.disconnect();
