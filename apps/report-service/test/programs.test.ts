// The programs as they are started, by their output.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useRedis } from '@holdfast/test-servers';
import { useBundle } from '@holdfast/test-servers/bundle';
import { expect, test } from 'vitest';

const server = useRedis();
const folder = fileURLToPath(new URL('..', import.meta.url));
const timeout = 180_000;
const sources = ['limits', 'leader'].flatMap((name) => [
  `src/${name}/main.ts`,
  `src/${name}/instance.ts`,
]);
const compiled = useBundle(folder, sources);

async function run(program: string) {
  const env = { ...process.env, REDIS_URL: server.url };
  const child = spawn(process.execPath, [join(compiled.folder, program, 'main.mjs')], {
    cwd: folder,
    env,
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text: Buffer) => (output.stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (output.stderr += text.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...output };
}

test(
  'a limit of each tenant and one in all are reached and never passed, though an instance is killed',
  { timeout },
  async () => {
    const { code, stdout, stderr } = await run('limits');
    expect(stderr).toBe('');
    expect(stdout).toMatch(/instance one was killed while it wrote [1-9]\d* reports/);
    expect(stdout).toContain('120 of 120 reports are written');
    expect(stdout).toContain('at most 10 at once in all, and 3 of a tenant');
    expect(stdout).toContain('no permit is left');
    expect(stdout).toMatch(/✔ the limits were reached, and never passed\n$/);
    expect(code).toBe(0);
  },
);

test(
  'a leader that was frozen for longer than its lease is refused, and never acts beside its successor',
  { timeout },
  async () => {
    const { code, stdout, stderr } = await run('leader');
    expect(stderr).toBe('');
    const terms = [...stdout.matchAll(/leads with term (\d+)/g)].map(([, term]) => Number(term));
    expect(terms).toHaveLength(2);
    expect(terms[1]).toBeGreaterThan(terms[0] as number);
    expect(stdout).toMatch(
      /goes on: its write was refused, and it knows that it is not the leader/,
    );
    expect(stdout).toMatch(/\d+ ticks of \d+ terms, each term after the one before/);
    expect(stdout).toMatch(/✔ no leader acted beside its successor\n$/);
    expect(code).toBe(0);
  },
);
