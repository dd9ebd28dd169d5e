import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export interface Transfer {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly cents: number;
}

/** The lock of an account. */
export const lockOf = (account: string): string => `account:${account}`;

const require = createRequire(import.meta.url);

function readCsv(file: string): string[][] {
  const text = readFileSync(require.resolve(`@holdfast/playground/data/${file}.csv`), 'utf8');
  const [, ...lines] = text.trim().split('\n');
  return lines.map((line) => line.split(','));
}

/** The opening balance of each account, in cents. */
export function readAccounts(): Map<string, number> {
  return new Map(readCsv('accounts').map(([id = '', , cents]) => [id, Number(cents)]));
}

/** In the order in which they are to be posted. */
export function readTransfers(): Transfer[] {
  return readCsv('transfers').map(([id = '', from = '', to = '', cents]) => ({
    id,
    from,
    to,
    cents: Number(cents),
  }));
}
