import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** The address of an empty database, for the processes of one test. */
export async function emptyDatabase(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-payments-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return `file:${join(folder, 'payments.db')}`;
}
