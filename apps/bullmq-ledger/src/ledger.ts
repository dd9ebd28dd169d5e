import { setTimeout as sleep } from 'node:timers/promises';
import type { Lock } from '@holdfast/core';
import type { Client } from './client.ts';
import { lockOf, readAccounts, type Transfer } from './transfers.ts';

/**
 * Writes what a posting has computed, all or none of it; not if the transfer is posted already, or if a
 * later holder of one of the accounts has written.
 *
 * KEYS: balances, posted transfers, tokens, and the histories of both accounts. ARGV: the transfer, and
 * for each account its name, its new balance and the token.
 */
const WRITE = /* lua */ `
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 'posted' end
for i = 2, 5, 3 do
  local last = tonumber(redis.call('HGET', KEYS[3], ARGV[i]) or 0)
  if last > tonumber(ARGV[i + 2]) then return 'late' end
end
for n, i in ipairs({ 2, 5 }) do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
  redis.call('RPUSH', KEYS[3 + n], ARGV[1])
end
redis.call('SADD', KEYS[2], ARGV[1])
return 'written'
`;

/** How the books are found after a run. */
export interface Audit {
  /** Transfers that are not posted. */
  readonly missing: number;
  readonly wrongAccounts: number;
  /** By how many cents the balances are wrong, added up. */
  readonly offCents: number;
  /** Accounts whose transfers are not in their order. */
  readonly disordered: number;
}

/** Balances in Redis, and for each account what was posted to it. */
export class Ledger {
  constructor(
    private readonly client: Client,
    private readonly name: string,
  ) {}

  async open(): Promise<void> {
    await this.client.call('HSET', this.key('balances'), ...[...readAccounts()].flat());
  }

  /**
   * Reads both balances, thinks, and writes both: right only if nobody writes in between.
   *
   * @param lock of both accounts; absent to see what happens without
   */
  async post({ id, from, to, cents }: Transfer, lock: Lock | undefined): Promise<void> {
    const [source, target] = await this.balances(from, to);
    await sleep(1);
    lock?.assertHeld();
    const keys = ['balances', 'posted', 'tokens', `history:${from}`, `history:${to}`];
    const words = [
      ...keys.map((key) => this.key(key)),
      id,
      from,
      Number(source) - cents,
      lock?.tokenFor(lockOf(from)) ?? 0,
      to,
      Number(target) + cents,
      lock?.tokenFor(lockOf(to)) ?? 0,
    ];
    const answer = await this.client.call('EVAL', WRITE, keys.length, ...words);
    if (answer === 'late') throw new Error(`Transfer ${id} came too late: its lock was lost.`);
  }

  async audit(transfers: readonly Transfer[]): Promise<Audit> {
    const accounts = readAccounts();
    const orders = new Map([...accounts.keys()].map((account) => [account, [] as string[]]));
    for (const { id, from, to, cents } of transfers) {
      accounts.set(from, (accounts.get(from) ?? 0) - cents);
      accounts.set(to, (accounts.get(to) ?? 0) + cents);
      orders.get(from)?.push(id);
      orders.get(to)?.push(id);
    }
    const balances = await this.balances(...accounts.keys());
    const off = [...accounts.values()].map((cents, n) => Math.abs(Number(balances[n]) - cents));
    const histories = [...orders].map(async ([account, ids]) => {
      const history = await this.client.call('LRANGE', this.key(`history:${account}`), 0, -1);
      return (history as string[]).join() === ids.join();
    });
    return {
      missing: transfers.length - Number(await this.client.call('SCARD', this.key('posted'))),
      wrongAccounts: off.filter((cents) => cents > 0).length,
      offCents: off.reduce((sum, cents) => sum + cents, 0),
      disordered: (await Promise.all(histories)).filter((inOrder) => !inOrder).length,
    };
  }

  private async balances(...accounts: readonly string[]): Promise<readonly string[]> {
    return (await this.client.call('HMGET', this.key('balances'), ...accounts)) as string[];
  }

  private key(part: string): string {
    return `${this.name}:${part}`;
  }
}
