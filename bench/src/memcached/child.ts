// One variant of one piece of work, in a fresh process: ns per lock and release.
import { createLocker } from '@holdfast/core';
import { memcachedStore } from '@holdfast/memcached';
import { Client } from 'memjs';

/** Takes a key and lets go of it. */
type Turn = (key: string) => Promise<void>;

const [name, work, servers] = process.argv.slice(2) as [string, string, string];

function holdfast(): Turn {
  const locker = createLocker({ store: memcachedStore(Client.create(servers)) });
  return async (key) => {
    const lock = await locker.lock(key);
    await lock.release();
  };
}

/** No owner, no token, no renewal, no loss: a slow holder deletes the next one's item. */
function rawMemjs(): Turn {
  const client = Client.create(servers);
  return async (key) => {
    await client.add(key, 'owner', { expires: 11 });
    await client.delete(key);
  };
}

const variants: Record<string, () => Turn> = { holdfast, 'raw memjs': rawMemjs };

const works: Record<string, (turn: Turn, count: number) => Promise<void>> = {
  sequential: async (turn, count) => {
    for (let done = 0; done < count; done++) await turn('key');
  },
  '64 in parallel': async (turn, count) => {
    let left = count;
    const task = async (key: string): Promise<void> => {
      while (left-- > 0) await turn(key);
    };
    await Promise.all(Array.from({ length: 64 }, (_, index) => task(`key:${index}`)));
  },
};

const COUNT = 5_000;
const turn = (variants[name] as () => Turn)();
const run = works[work] as (turn: Turn, count: number) => Promise<void>;
await run(turn, COUNT);
const rounds: number[] = [];
for (let round = 0; round < 5; round++) {
  const startedAt = performance.now();
  await run(turn, COUNT);
  rounds.push(performance.now() - startedAt);
}
console.log(JSON.stringify((Math.min(...rounds) * 1e6) / COUNT));
process.exit();
