// A process of its own that locks: `child-main.ts <address> <work> [argument]`.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { Client } from 'memjs';
import { memcachedStore } from '../../src/index.ts';

const [address, work, argument] = process.argv.slice(2) as [string, string, string];
const client = Client.create(address);
const locker = createLocker({ store: memcachedStore(client) });
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const input = createInterface(process.stdin);

/** Reads, dawdles, and writes: which is wrong as soon as two do it at once. */
async function increment(): Promise<void> {
  await locker.withLock('counter-lock', { wait: 50_000 }, async (lock) => {
    const text = String((await client.get('counter')).value);
    const [count, token] = text.split(' ').map(Number) as [number, number];
    await sleep(Math.random() * 3);
    if (lock.fencingToken <= token) throw new Error(`${lock.fencingToken} after ${token}`);
    await client.set('counter', `${count + 1} ${lock.fencingToken}`, {});
  });
}

const works: Record<string, () => Promise<void>> = {
  async count() {
    const task = async (): Promise<void> => {
      for (let left = Number(argument) / 3; left > 0; left--) await increment();
    };
    await once(input, 'line');
    await Promise.all([task(), task(), task()]);
    await locker.close();
    client.close();
    say('done');
    process.exit();
  },

  async hold() {
    const lock = await locker.lock('key', { ttl: Number(argument) });
    say('held');
    await once(input, 'line');
    say(lock.state);
    await once(input, 'line');
    say(String(await lock.release()));
    process.exit();
  },

  /** Holds a lock, and has nothing else to do. */
  async leave() {
    await locker.lock('key');
    say('held');
    input.close();
    process.stdin.unref();
  },
};

await locker.withLock('connect', () => {});
say('ready');
await works[work]?.();
