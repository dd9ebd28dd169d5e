/**
 * Between the least that a lock on Redis can be and Holdfast, a step at a time: what each costs shows in
 * the difference from the row before. All of them send by ioredis alone.
 */
import type { Redis } from 'ioredis';
import type { Start } from './variants.ts';

/** What every lock is asked for, in ms. */
export const TTL = 10_000;

const connect = async (url: string): Promise<Redis> => {
  const { Redis } = await import('ioredis');
  const client = new Redis(url);
  await client.ping();
  return client;
};

const load = async (client: Redis, script: string): Promise<string> =>
  (await client.script('LOAD', script)) as string;

/** As `SET NX PX`, so that something else could be done in the same step. */
const ACQUIRE = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
`;

const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`;

/** With a token by the server's clock, which grows also where that is set back: the key keeps the last one. */
const ACQUIRE_WITH_TOKEN = `
local clock = redis.call('TIME')
local token = clock[1] .. string.sub('00000' .. clock[2], -6)
local value = redis.call('GET', KEYS[1])
if value then
  local last = tonumber(value)
  if not last then return 0 end
  if last >= tonumber(token) then token = string.format('%.0f', last + 1) end
end
redis.call('SET', KEYS[1], token .. ' ' .. ARGV[1], 'PX', ARGV[2])
return tonumber(token)
`;

const RELEASE_WITH_TOKEN = `
local value = redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL', 'GET')
if value == ARGV[2] .. ' ' .. ARGV[1] then return 1 end
if value then redis.call('SET', KEYS[1], value, 'KEEPTTL') else redis.call('DEL', KEYS[1]) end
return 0
`;

/** No waiting, no renewal, no token. */
const raw: Start = async (url) => {
  const client = await connect(url);
  const release = await load(client, RELEASE);
  let count = 0;
  return async (key) => {
    const owner = `${process.pid}:${++count}`;
    await client.set(key, owner, 'PX', TTL, 'NX');
    await client.evalsha(release, 1, key, owner);
  };
};

/** A script acquires in place of `SET`, and the release has what it answers. */
const byScripts =
  (acquiring: string, releasing: string): Start =>
  async (url) => {
    const client = await connect(url);
    const acquire = await load(client, acquiring);
    const release = await load(client, releasing);
    let count = 0;
    return async (key) => {
      const owner = `${process.pid}:${++count}`;
      const token = (await client.evalsha(acquire, 1, key, owner, TTL)) as number;
      await client.evalsha(release, 1, key, owner, token);
    };
  };

/** Exactly what Holdfast sends: its scripts, and their words as it was seen to write them. */
const sameMessages: Start = async (url) => {
  const { createLocker } = await import('@holdfast/core');
  const { redisStore } = await import('@holdfast/redis');
  const client = await connect(url);
  const send = client.evalsha.bind(client) as (
    sha: string,
    keys: number,
    words: string[],
  ) => Promise<number>;
  const seen: { sha: string; words: string[]; answer: number }[] = [];
  const watched = Object.assign(client, {
    evalsha: async (sha: string, keys: number, words: string[]) => {
      const answer = await send(sha, keys, words);
      seen.push({ sha, words, answer });
      return answer;
    },
  });
  const locker = createLocker({ store: redisStore(watched), ttl: TTL });
  // The first of them loads the scripts.
  for (let round = 0; round < 2; round++) await (await locker.lock('key')).release();
  await locker.close();

  const [acquire, release] = seen.slice(-2);
  const id = release?.words[2];
  if (acquire === undefined || release === undefined || id === undefined) {
    throw new Error('Holdfast does not send two requests for a lock.');
  }
  const [before = '', after = ''] = (acquire.words[2] as string).split(id);
  const reserved = Number(release.words[3]) - acquire.answer;
  const [start = '', end = ''] = (acquire.words[0] as string).split('key');
  let count = 0;
  return async (key) => {
    const own = `_${String(++count).padStart(id.length - 1, '0')}`;
    const lock = start + key + end;
    const queue = `${lock}:queue`;
    const token = await send(acquire.sha, 2, [lock, queue, before + own + after]);
    // Less than 0 if it is the only one: the key's tokens have caught up with the server's clock.
    const last = token < 0 ? -token : token + reserved;
    await send(release.sha, 2, [lock, queue, own, String(last)]);
  };
};

export const redisSteps = {
  'raw ioredis': raw,
  'raw, acquired by a script': byScripts(ACQUIRE, RELEASE),
  'raw, and a token of it': byScripts(ACQUIRE_WITH_TOKEN, RELEASE_WITH_TOKEN),
  "raw, Holdfast's messages": sameMessages,
} satisfies Record<string, Start>;
