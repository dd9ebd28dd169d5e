import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const flags = ['--import', 'tsx', '--conditions=@holdfast/source'];

test('the demo loses money without locks, and balances with them', { timeout: 60_000 }, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, main], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(stdout).toMatch(/1\. Without locks\n\s+✘ [\d,]+ updates lost, \d+ of 20 accounts off by/);
  expect(stdout).toMatch(/● A\d\d\+A\d\d #\d+/);
  expect(stdout).toMatch(/✔ nothing lost, the books balance to the cent/);
  expect(stdout).toMatch(/[1-9][\d,]* hand-offs, 0 locks lost\./);
  // Readable without a terminal: no escape codes.
  expect(stdout.includes('\u001B')).toBe(false);
  expect(status).toBe(0);
});
