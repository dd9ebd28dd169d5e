import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import {
  audit,
  openingBalances,
  post,
  readTransfers,
  type Audit,
  type Transfer,
} from './ledger.ts';
import type { Books } from './services.ts';

/** Writes a balance as it comes, and counts the writes that undo another. */
const WRITE = `
local balance = redis.call('HGET', KEYS[1], ARGV[1])
if balance ~= ARGV[2] then redis.call('HINCRBY', KEYS[1], 'lost', 1) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
`;

/** The ledger of several processes: a hash with `<cents> <version>` for each account. */
export class RedisLedger implements Books {
  constructor(
    private readonly redis: Redis,
    /** Where it is on the server. */
    readonly key: string,
  ) {}

  get size(): number {
    return openingBalances().size;
  }

  async open(): Promise<void> {
    const accounts = [...openingBalances()].map(([id, cents]): [string, string] => [
      id,
      `${cents} 0`,
    ]);
    await this.redis.hset(this.key, Object.fromEntries([...accounts, ['lost', '0']]));
    await this.redis.expire(this.key, 3_600);
  }

  async close(): Promise<void> {
    await this.redis.del(this.key);
  }

  /** Reads both balances, thinks, and writes both. Right only if nobody writes in between. */
  async transfer({ from, to, cents }: Transfer): Promise<void> {
    const [source, target] = await this.redis.hmget(this.key, from, to);
    await sleep(1);
    await Promise.all([this.write(from, source, -cents), this.write(to, target, cents)]);
  }

  /** After all of these transfers. */
  async audit(transfers: readonly Transfer[]): Promise<Audit> {
    const { lost, ...accounts } = await this.redis.hgetall(this.key);
    const expected = openingBalances();
    for (const transfer of transfers) post(expected, transfer);
    const found = Object.entries(accounts).map(([id, balance]): [string, number] => [
      id,
      Number.parseInt(balance, 10),
    ]);
    return audit(new Map(found), expected, Number(lost));
  }

  private async write(
    id: string,
    before: string | null | undefined,
    change: number,
  ): Promise<void> {
    const [cents = 0, version = 0] = (before ?? '').split(' ').map(Number);
    const after = `${cents + change} ${version + 1}`;
    await this.redis.eval(WRITE, 1, this.key, id, before ?? '', after);
  }
}

/** How many of the transfers are posted over Redis: each takes some round trips. */
const TRANSFERS = 400;

export function transfersOverRedis(): Transfer[] {
  return readTransfers().slice(0, TRANSFERS);
}
