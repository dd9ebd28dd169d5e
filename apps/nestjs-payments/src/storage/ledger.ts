import {
  createClient,
  type Client,
  type InValue,
  type Row,
  type Transaction,
} from '@libsql/client';
import type { Payment } from '../payments/payment.ts';
import type { Report } from '../reports/report.ts';

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, amount INTEGER, status TEXT, receipt TEXT,
    captured INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0)`,
  'CREATE TABLE IF NOT EXISTS charges (order_id TEXT NOT NULL, amount INTEGER NOT NULL)',
  `CREATE TABLE IF NOT EXISTS reports (
    tick TEXT PRIMARY KEY, payments INTEGER NOT NULL, total INTEGER NOT NULL, by TEXT NOT NULL)`,
];
/** ms that a write waits for another process's. */
const BUSY_TIMEOUT = 5_000;

/** A write came from somebody who no longer holds the lock of the order. */
export class StaleTokenError extends Error {
  override readonly name = 'StaleTokenError';

  constructor() {
    super('A later holder of the lock has written this order: the write was refused.');
  }
}

/** What a write to an order changes, and what is charged with it. */
export interface Change {
  readonly charge: number;
  /** The columns to set. */
  readonly set: Readonly<Record<string, InValue>>;
}

/** The tables of orders, charges and reports. Every write to an order is fenced. */
export class Ledger {
  private constructor(private readonly database: Client) {}

  static async open(url: string): Promise<Ledger> {
    const database = createClient({ url, timeout: BUSY_TIMEOUT });
    await database.execute('PRAGMA journal_mode = WAL');
    for (const table of SCHEMA) await database.execute(table);
    return new Ledger(database);
  }

  /**
   * Writes an order and its charge, unless somebody with a larger token has written the order before: then the
   * writer's lock is over, whatever the writer believes.
   *
   * @throws StaleTokenError
   */
  async write(order: string, token: number, { charge, set }: Change): Promise<void> {
    const transaction = await this.database.transaction('write');
    try {
      await raiseFence(transaction, order, token);
      const columns = Object.keys(set).map((column) => `${column} = ?`);
      await transaction.execute({
        sql: `UPDATE orders SET ${columns.join(', ')} WHERE id = ?`,
        args: [...Object.values(set), order],
      });
      await transaction.execute({
        sql: 'INSERT INTO charges VALUES (?, ?)',
        args: [order, charge],
      });
      await transaction.commit();
    } finally {
      transaction.close();
    }
  }

  async payment(order: string): Promise<Payment | undefined> {
    const row = await this.order(order);
    if (row === undefined || row['status'] === null) return undefined;
    const { amount, status, receipt } = row;
    return { order, amount, status, receipt } as unknown as Payment;
  }

  /** What has been captured of an order, in cents. */
  async captured(order: string): Promise<number> {
    return Number((await this.order(order))?.['captured'] ?? 0);
  }

  /** The amounts that an order was charged, refunds below 0. */
  async charges(order: string): Promise<number[]> {
    const sql = 'SELECT amount FROM charges WHERE order_id = ?';
    const { rows } = await this.database.execute({ sql, args: [order] });
    return rows.map(({ amount }) => Number(amount));
  }

  async totals(): Promise<{ payments: number; total: number }> {
    const { rows } = await this.database.execute(
      "SELECT count(*) AS payments, coalesce(sum(amount), 0) AS total FROM orders WHERE status = 'paid'",
    );
    return { payments: Number(rows[0]?.['payments']), total: Number(rows[0]?.['total']) };
  }

  async addReport({ tick, payments, total, by }: Report): Promise<void> {
    const sql = 'INSERT INTO reports VALUES (?, ?, ?, ?)';
    await this.database.execute({ sql, args: [tick, payments, total, by] });
  }

  async reports(): Promise<Report[]> {
    const { rows } = await this.database.execute('SELECT * FROM reports ORDER BY tick');
    return rows.map(
      ({ tick, payments, total, by }) => ({ tick, payments, total, by }) as unknown as Report,
    );
  }

  close(): void {
    this.database.close();
  }

  private async order(id: string): Promise<Row | undefined> {
    const sql = 'SELECT * FROM orders WHERE id = ?';
    return (await this.database.execute({ sql, args: [id] })).rows[0];
  }
}

/** From now on no smaller token writes this order. */
async function raiseFence(database: Transaction, order: string, token: number): Promise<void> {
  await database.execute({
    sql: 'INSERT INTO orders (id) VALUES (?) ON CONFLICT DO NOTHING',
    args: [order],
  });
  const { rowsAffected } = await database.execute({
    sql: 'UPDATE orders SET fence = ?1 WHERE id = ?2 AND fence <= ?1',
    args: [token, order],
  });
  if (rowsAffected === 0) throw new StaleTokenError();
}
