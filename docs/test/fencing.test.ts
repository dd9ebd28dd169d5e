import { createLocker } from '@holdfast/core';
import { useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import initSqlJs from 'sql.js';
import { describe, expect, test } from 'vitest';
import { codeOf } from './code.ts';

/** The tokens of three holders, one after the other. */
async function threeTokens(): Promise<[number, number, number]> {
  const locker = createLocker();
  const tokens: number[] = [];
  for (let holder = 0; holder < 3; holder++) {
    await locker.withLock('invoice:1', (lock) => tokens.push(lock.fencingToken));
  }
  await locker.close();
  return tokens as [number, number, number];
}

describe('who comes late is refused', () => {
  test('refuses a late write by the SQL of the page', async () => {
    const [sql] = codeOf('fencing.md', 'sql') as [string];
    const [early, late, latest] = await threeTokens();
    const { Database } = await initSqlJs();
    const database = new Database();
    database.run(`CREATE TABLE invoices (id INTEGER, paid_cents INTEGER, fence INTEGER);
                  INSERT INTO invoices VALUES (1, 0, 0)`);
    const pay = (token: number): number => {
      database.run(sql, { ':token': token, ':id': 1, ':cents': 100 });
      return database.getRowsModified();
    };
    expect(pay(late)).toBe(1);
    expect(pay(late)).toBe(1);
    expect(pay(early)).toBe(0);
    expect(pay(latest)).toBe(1);
    const [result] = database.exec('SELECT paid_cents, fence FROM invoices');
    expect(result?.values).toEqual([[300, latest]]);
    database.close();
  });

  describe('by the script of the page', () => {
    const server = useRedis();

    test('on a real Redis', async () => {
      const [script] = codeOf('fencing.md', 'lua') as [string];
      const [early, late, latest] = await threeTokens();
      const redis = new Redis(server.url);
      const write = (token: number, value: string): Promise<unknown> =>
        redis.eval(script, 1, 'invoice:1', token, value);
      expect(await write(late, 'b')).toBe(1);
      expect(await write(late, 'c')).toBe(1);
      expect(await write(early, 'a')).toBe(0);
      expect(await redis.hget('invoice:1', 'value')).toBe('c');
      expect(await write(latest, 'd')).toBe(1);
      expect(await redis.hgetall('invoice:1')).toEqual({ value: 'd', fence: String(latest) });
      redis.disconnect();
    });
  });
});
