// A lock must outlast the transaction of what it guards: whichever decorator is above is around the other.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type Client, type Transaction } from '@libsql/client';
import type { Locker } from '@holdfast/core';
import { currentLock, WithLock } from '@holdfast/nestjs';
import { Injectable } from '@nestjs/common';
import { beforeEach, expect, test } from 'vitest';
import { aLocker, atEnd, compile } from './kit/index.ts';

let locker: Locker;
let database: Client;
/** What happens, in order. */
let log: string[];

beforeEach(async () => {
  locker = aLocker();
  log = [];
  locker.on('acquired', () => log.push('locked'));
  locker.on('released', () => log.push('released'));
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-transactions-'));
  database = createClient({ url: `file:${join(folder, 'accounts.db')}` });
  atEnd(async () => {
    database.close();
    await rm(folder, { recursive: true });
  });
  await database.execute('CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER)');
  await database.execute("INSERT INTO accounts VALUES ('a', 100)");
});

/** What the transactional decorators of ORMs do: begin, run the method, and commit or roll back. */
function Transactional(): MethodDecorator {
  return (_target, _property, descriptor: PropertyDescriptor) => {
    const method = descriptor.value as (...args: unknown[]) => Promise<unknown>;
    descriptor.value = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const transaction = await database.transaction('write');
      log.push('begun');
      try {
        const result = await method.call(this, transaction, ...args.slice(1));
        await transaction.commit();
        log.push('committed');
        return result;
      } finally {
        transaction.close();
      }
    };
  };
}

const draw = async (transaction: Transaction | undefined, id: string): Promise<number> => {
  const { rows } = await transaction!.execute({
    sql: 'UPDATE accounts SET balance = balance - 60 WHERE id = ? AND balance >= 60 RETURNING balance',
    args: [id],
  });
  log.push(`written under ${currentLock()?.key}`);
  return Number(rows[0]?.['balance'] ?? -1);
};

@Injectable()
class Accounts {
  @WithLock((_transaction: Transaction | undefined, id: string) => `account:${id}`)
  @Transactional()
  async lockAbove(transaction: Transaction | undefined, id: string): Promise<number> {
    return draw(transaction, id);
  }

  @Transactional()
  @WithLock((_transaction: Transaction | undefined, id: string) => `account:${id}`)
  async lockBelow(transaction: Transaction | undefined, id: string): Promise<number> {
    return draw(transaction, id);
  }
}

test('a transaction below @WithLock is committed before the lock is released', async () => {
  const accounts = (await compile(locker, { providers: [Accounts] })).get(Accounts);
  await expect(accounts.lockAbove(undefined, 'a')).resolves.toBe(40);
  expect(log).toEqual(['locked', 'begun', 'written under account:a', 'committed', 'released']);
  await expect(accounts.lockAbove(undefined, 'a')).resolves.toBe(-1);
  const { rows } = await database.execute('SELECT balance FROM accounts');
  expect(rows[0]?.['balance']).toBe(40);
});

test('a transaction above @WithLock is committed only after the lock is free for others', async () => {
  const accounts = (await compile(locker, { providers: [Accounts] })).get(Accounts);
  await accounts.lockBelow(undefined, 'a');
  expect(log).toEqual(['begun', 'locked', 'written under account:a', 'released', 'committed']);
});
