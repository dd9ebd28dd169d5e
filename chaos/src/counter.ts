import type { Redis } from 'ioredis';

const READ = `
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if fence > tonumber(ARGV[1]) then return false end
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
return redis.call('HGET', KEYS[1], 'count') or '0'
`;

const WRITE = `
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if fence > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'count', ARGV[2])
return 1
`;

/**
 * A counter that is read, thought about, and written: wrong as soon as two do so at once. It lives on
 * a server of its own that nobody disturbs, and refuses who comes after a later holder.
 */
export class RacyCounter {
  constructor(private readonly redis: Redis) {}

  /** `undefined` if a later holder was here. */
  async read(key: string, token: number): Promise<number | undefined> {
    const count = (await this.redis.eval(READ, 1, key, String(token))) as string | null;
    return count === null ? undefined : Number(count);
  }

  async write(key: string, token: number, count: number): Promise<boolean> {
    return (await this.redis.eval(WRITE, 1, key, String(token), String(count))) === 1;
  }
}
