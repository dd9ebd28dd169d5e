// A processor for a sandbox: it tells what it does in a list of Redis.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { guard } from '@holdfast/bullmq';
import { redisStore } from '@holdfast/redis';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

const { SANDBOX_URL: url = '', SANDBOX_QUEUE: name = '' } = process.env;
const { SANDBOX_ORDER: ordered, SANDBOX_DELAY: delay } = process.env;
const redis = new Redis(url, { maxRetriesPerRequest: null });
const locker = createLocker({ store: redisStore(redis) });
const connection = { host: redis.options.host ?? '', port: redis.options.port ?? 0 };
const order = ordered === '' ? undefined : { queue: new Queue(name, { connection }), redis };

interface Data {
  readonly key: string;
  readonly n: number;
}

export default guard<Data>(
  { locker, key: (job) => job.data.key, order, delay: Number(delay) },
  async (job, token, signal, lock) => {
    const tell = (what: string) => redis.rpush(`${name}:log`, `${what} ${job.data.n}`);
    if (await redis.set(`${name}:running`, '1', 'NX').then((set) => set === null)) {
      await tell('overlap');
    }
    await tell(`begin ${typeof token} ${lock.state}`);
    if (job.data.n < 0) {
      // It may have come while that was told.
      if (!signal.aborted) await once(signal, 'abort');
      await tell(`aborted ${(signal.reason as Error).name}`);
    }
    await sleep(5);
    await redis.del(`${name}:running`);
    return job.data.n;
  },
);
