import { createClient, type Client } from '@libsql/client';

/** ms that a write waits for that of another process. */
const BUSY_TIMEOUT = 5_000;

const SCHEMA = [
  'CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY, ticks INTEGER NOT NULL, fence INTEGER NOT NULL)',
  'INSERT OR IGNORE INTO clock VALUES (1, 0, 0)',
  'CREATE TABLE IF NOT EXISTS ticks (number INTEGER PRIMARY KEY AUTOINCREMENT, term INTEGER NOT NULL, by TEXT NOT NULL)',
];

export interface Tick {
  readonly term: number;
  readonly by: string;
}

/** The table that only the leader may write to. */
export class Ticks {
  private constructor(private readonly client: Client) {}

  /** @param url of a file that all instances share */
  static async open(url: string): Promise<Ticks> {
    const client = createClient({ url, timeout: BUSY_TIMEOUT });
    await client.execute('PRAGMA journal_mode = WAL');
    for (const table of SCHEMA) await client.execute(table);
    return new Ticks(client);
  }

  /**
   * Writes a tick, unless a later leader has written one.
   *
   * @returns whether it was written
   */
  async add({ term, by }: Tick): Promise<boolean> {
    const transaction = await this.client.transaction('write');
    try {
      const { rowsAffected } = await transaction.execute({
        sql: 'UPDATE clock SET ticks = ticks + 1, fence = ? WHERE id = 1 AND fence <= ?',
        args: [term, term],
      });
      if (rowsAffected === 0) return false;
      const insert = 'INSERT INTO ticks (term, by) VALUES (?, ?)';
      await transaction.execute({ sql: insert, args: [term, by] });
      await transaction.commit();
      return true;
    } finally {
      transaction.close();
    }
  }

  /** All that were written, in their order. */
  async all(): Promise<Tick[]> {
    const { rows } = await this.client.execute('SELECT term, by FROM ticks ORDER BY number');
    return rows as unknown as Tick[];
  }

  close(): void {
    this.client.close();
  }
}
