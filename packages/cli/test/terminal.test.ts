// With a terminal, which `script` of util-linux makes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { commandOf, folder } from './kit.ts';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Runs it on a terminal, which shows what it prints and passes on what is typed. */
function onTerminal(args: readonly string[], cwd: string) {
  const words = commandOf(args).map((word) => `'${word}'`);
  // With `exec`, for a shell that stays would get each Ctrl-C too, and end by it.
  const child = spawn(
    'script',
    ['-qec', `stty cols 60 rows 20 -echo; exec ${words.join(' ')}`, '/dev/null'],
    {
      cwd,
      env: { ...process.env, TERM: 'xterm', REDIS_URL: '' },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number, shown }));
  return {
    type: (text: string): void => void child.stdin.write(text),
    shows: async (text: RegExp): Promise<void> => {
      while (!text.test(shown)) await Promise.race([once(child.stdout, 'data'), ended]);
    },
    ended,
  };
}

function application(): string {
  const cwd = folder(here);
  writeFileSync(
    join(cwd, 'holdfast.config.mjs'),
    `
    import { createLocker, memoryStore } from '@holdfast/core';
    const store = memoryStore();
    const app = createLocker({ store, label: 'web-1:17' });
    await app.lock('order:42');
    await app.lock('a-key-that-is-much-too-long-for-such-a-narrow-terminal:${'x'.repeat(80)}');
    export default createLocker({ store });
  `,
  );
  return cwd;
}

describe.skipIf(process.platform !== 'linux')('on a terminal', () => {
  test('watch draws a table on a screen of its own, within its width, and gives the old one back', async () => {
    const terminal = onTerminal(['watch', '--interval', '100ms'], application());
    await terminal.shows(/2 held[^]*order:42[^]*2 held/);
    terminal.type('\u0003');
    const { code, shown } = await terminal.ended;
    expect(code).toBe(0);
    expect(shown).toContain('\u001B[?1049h');
    expect(shown.trimEnd().endsWith('\u001B[?1049l')).toBe(true);
    const frames = shown.split('\u001B[H').map((frame) => stripVTControlCharacters(frame));
    for (const line of frames.join('\n').split(/[\r\n]+/))
      expect(line.length).toBeLessThanOrEqual(60);
  });

  test.each([
    ['y', /released 'order:42'/, 0],
    ['n', /not released/, 1],
  ])('release asks first (%s)', async (answer, said, code) => {
    const terminal = onTerminal(['release', 'order:42', '--reason', 'INC-7'], application());
    await terminal.shows(/holder +web-1:17[^]*\[y\/N\]/);
    terminal.type(`${answer}\n`);
    const result = await terminal.ended;
    expect(result.shown).toMatch(said);
    expect(result.code).toBe(code);
  });

  test('release with --yes does not ask', async () => {
    const args = ['release', 'order:42', '--reason', 'INC-7', '--yes'];
    const { code, shown } = await onTerminal(args, application()).ended;
    expect(shown).toMatch(/released 'order:42'/);
    expect(code).toBe(0);
  });

  test('Ctrl-C reaches a command under a lock once, and the lock is freed', async () => {
    const script = "trap 'echo got INT; exit 4' INT; echo in; while :; do sleep 0.05; done";
    const terminal = onTerminal(
      ['run', 'k', '--', 'sh', '-c', script.replaceAll("'", '"')],
      application(),
    );
    await terminal.shows(/in\r?\n/);
    terminal.type('\u0003');
    const { code, shown } = await terminal.ended;
    expect(shown.match(/got INT/g)).toHaveLength(1);
    expect(code).toBe(4);
  });
});
