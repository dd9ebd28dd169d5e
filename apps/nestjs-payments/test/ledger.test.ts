import { expect, onTestFinished, test } from 'vitest';
import { Ledger, StaleTokenError } from '../src/storage/ledger.ts';
import { emptyDatabase } from './database.ts';

const charge = { charge: 5, set: { captured: 5 } };

test('the ledger refuses the write of a holder whose token is not the latest, and keeps nothing of it', async () => {
  const url = await emptyDatabase();
  // Two processes have one each.
  const [late, latest] = await Promise.all([Ledger.open(url), Ledger.open(url)]);
  onTestFinished(() => [late, latest].forEach((ledger) => ledger.close()));
  await late.write('1', 7, charge);
  await latest.write('1', 8, { charge: 6, set: { captured: 11 } });
  await expect(late.write('1', 7, charge)).rejects.toBeInstanceOf(StaleTokenError);
  await expect(latest.captured('1')).resolves.toBe(11);
  await expect(latest.charges('1')).resolves.toEqual([5, 6]);
  // One holder may write several times, and other orders have fences of their own.
  await latest.write('1', 8, { charge: 1, set: { captured: 12 } });
  await late.write('2', 7, charge);
  await expect(late.charges('2')).resolves.toEqual([5]);
});
