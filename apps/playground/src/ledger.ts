import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** One line of `data/transfers.csv`. */
export interface Transfer {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly cents: number;
}

function readCsv(file: string): string[][] {
  const text = readFileSync(new URL(`../data/${file}`, import.meta.url), 'utf8');
  const [, ...lines] = text.trim().split('\n');
  return lines.map((line) => line.split(','));
}

export function readTransfers(): Transfer[] {
  return readCsv('transfers.csv').map(([id = '', from = '', to = '', cents]) => ({
    id,
    from,
    to,
    cents: Number(cents),
  }));
}

interface Account {
  cents: number;
  /** How often it was written. */
  version: number;
}

/** How the books are found after a run. */
export interface Audit {
  readonly accounts: number;
  /** Writes that undid another write, because what they were computed from was out of date. */
  readonly lostUpdates: number;
  /** Accounts with a wrong balance. */
  readonly wrongAccounts: number;
  /** By how much they are wrong, added up. */
  readonly offCents: number;
}

/** Balances as they were found, beside what they should be. */
export function audit(
  found: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
  lostUpdates: number,
): Audit {
  const off = [...found].map(([id, cents]) => Math.abs(cents - (expected.get(id) ?? 0)));
  return {
    accounts: found.size,
    lostUpdates,
    wrongAccounts: off.filter((cents) => cents > 0).length,
    offCents: off.reduce((sum, cents) => sum + cents, 0),
  };
}

/** The balances at the start, in cents. */
export function openingBalances(): Map<string, number> {
  return new Map(
    readCsv('accounts.csv').map(([account = '', , opening]) => [account, Number(opening)]),
  );
}

/** The balances after a transfer. */
export function post(balances: Map<string, number>, { from, to, cents }: Transfer): void {
  balances.set(from, (balances.get(from) ?? 0) - cents);
  balances.set(to, (balances.get(to) ?? 0) + cents);
}

/** A table of balances, as far away as a database: every read and every write takes a while. */
export class Ledger {
  private readonly accounts = new Map<string, Account>();
  private readonly expected = openingBalances();
  private lostUpdates = 0;

  constructor() {
    for (const [id, cents] of this.expected) this.accounts.set(id, { cents, version: 0 });
  }

  get size(): number {
    return this.accounts.size;
  }

  /** Reads both balances, thinks, and writes both. Right only if nobody writes in between. */
  async transfer(transfer: Transfer): Promise<void> {
    const { from, to, cents } = transfer;
    const [source, target] = [this.read(from), this.read(to)];
    await sleep(1);
    this.write(from, source.cents - cents, source.version);
    this.write(to, target.cents + cents, target.version);
    post(this.expected, transfer);
  }

  audit(): Audit {
    const found = [...this.accounts].map(([id, { cents }]): [string, number] => [id, cents]);
    return audit(new Map(found), this.expected, this.lostUpdates);
  }

  private read(id: string): Account {
    return { ...(this.accounts.get(id) as Account) };
  }

  private write(id: string, cents: number, readVersion: number): void {
    const account = this.accounts.get(id) as Account;
    // Somebody wrote since we read: our write undoes theirs.
    if (account.version !== readVersion) this.lostUpdates += 1;
    account.cents = cents;
    account.version += 1;
  }
}
