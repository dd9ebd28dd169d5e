import { createClient, type Client, type InValue } from '@libsql/client';

/** ms that a write waits for that of another process. */
const BUSY_TIMEOUT = 5_000;

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, item TEXT NOT NULL, amount INTEGER NOT NULL, status TEXT NOT NULL,
    paid INTEGER NOT NULL DEFAULT 0, receipt TEXT, parcel TEXT, fence INTEGER NOT NULL DEFAULT 0)`,
  'CREATE TABLE IF NOT EXISTS charges (order_id TEXT NOT NULL, amount INTEGER NOT NULL)',
];

export interface Order {
  readonly id: string;
  readonly item: string;
  readonly amount: number;
  readonly status: 'placed' | 'paid' | 'shipped';
  readonly paid: number;
  readonly receipt: string | null;
  readonly parcel: string | null;
}

/** A write came from somebody who no longer holds the lock of the order. */
export class StaleTokenError extends Error {
  readonly code = 'STALE_TOKEN';

  constructor() {
    super('A later holder of the lock has written this order, so the write was refused.');
  }
}

/** The tables of the orders and of what was charged. Every change of an order is fenced. */
export class Database {
  private constructor(private readonly client: Client) {}

  /** @param url of a file that all instances share, as `file:/var/lib/orders.db` */
  static async open(url: string): Promise<Database> {
    const client = createClient({ url, timeout: BUSY_TIMEOUT });
    await client.execute('PRAGMA journal_mode = WAL');
    for (const table of SCHEMA) await client.execute(table);
    return new Database(client);
  }

  async place({ id, item, amount }: Pick<Order, 'id' | 'item' | 'amount'>): Promise<void> {
    const sql = "INSERT INTO orders (id, item, amount, status) VALUES (?, ?, ?, 'placed')";
    await this.client.execute({ sql, args: [id, item, amount] });
  }

  async find(id: string): Promise<Order | undefined> {
    const columns = 'id, item, amount, status, paid, receipt, parcel';
    const sql = `SELECT ${columns} FROM orders WHERE id = ?`;
    const { rows } = await this.client.execute({ sql, args: [id] });
    return rows[0] === undefined ? undefined : ({ ...rows[0] } as unknown as Order);
  }

  /** The amounts that were charged for an order. */
  async charges(id: string): Promise<number[]> {
    const sql = 'SELECT amount FROM charges WHERE order_id = ?';
    const { rows } = await this.client.execute({ sql, args: [id] });
    return rows.map(({ amount }) => Number(amount));
  }

  /**
   * Changes an order, and charges for it in the same transaction, unless a later holder of its lock has
   * changed it before: then the lock of this writer is over, whatever the writer believes.
   *
   * @throws StaleTokenError
   */
  async change(
    id: string,
    token: number,
    set: Partial<Omit<Order, 'id'>>,
    charge?: number,
  ): Promise<void> {
    const names = Object.keys(set);
    const sql = `UPDATE orders SET ${names.map((name) => `${name} = ?`).join(', ')}, fence = ?
      WHERE id = ? AND fence <= ?`;
    const args: InValue[] = [...(Object.values(set) as InValue[]), token, id, token];
    const transaction = await this.client.transaction('write');
    try {
      const { rowsAffected } = await transaction.execute({ sql, args });
      if (rowsAffected === 0) throw new StaleTokenError();
      if (charge !== undefined) {
        const insert = 'INSERT INTO charges VALUES (?, ?)';
        await transaction.execute({ sql: insert, args: [id, charge] });
      }
      await transaction.commit();
    } finally {
      transaction.close();
    }
  }

  close(): void {
    this.client.close();
  }
}
