import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { folder, Holdfast, holdfast } from './kit.ts';

const here = fileURLToPath(new URL('.', import.meta.url));

/** An application's locker, with what the test says held on its store. */
function application(code: string, name = 'holdfast.config.mjs'): string {
  // Here, from where packages are found as from an application.
  const cwd = folder(here);
  const text = `
    import { createLocker, memoryStore } from '@holdfast/core';
    import { appendFileSync } from 'node:fs';
    const store = memoryStore();
    const app = createLocker({ store, label: 'web-1:17' });
    ${code}
    export default createLocker({ store, label: 'operator' });
  `;
  writeFileSync(join(cwd, name), text);
  return cwd;
}

const THREE = `
  await app.lock('order:42');
  await app.lock('order:43', { label: 'web-2:18' });
  await app.lock('report:nightly');
  // Of another process, as it were: only those are seen from elsewhere.
  createLocker({ store, label: 'worker-7' }).lock('order:42').catch(() => {});
`;

describe('ls', () => {
  test('prints a table of what is held: key, holder, since when, how long, who waits, token', async () => {
    const { code, stdout, stderr } = await holdfast(['ls'], { cwd: application(THREE) });
    expect(stderr).toBe('');
    const [title, ...lines] = stdout.trimEnd().split('\n');
    expect(title).toMatch(/^KEY +HOLDER +SINCE +LEFT +WAITING +TOKEN$/);
    expect(lines).toHaveLength(3);
    expect(lines.find((line) => line.startsWith('order:42'))).toMatch(
      /^order:42 +web-1:17 +\d+ m?s +\d+ s +1 +\d+$/,
    );
    expect(code).toBe(0);
  });

  test('takes a prefix and a limit', async () => {
    const cwd = application(THREE);
    const prefixed = await holdfast(['ls', 'order:', '--json'], { cwd });
    const keys = (JSON.parse(prefixed.stdout) as { key: string }[]).map(({ key }) => key);
    expect(keys.toSorted()).toEqual(['order:42', 'order:43']);
    const limited = await holdfast(['ls', '--limit', '2', '--json'], { cwd });
    expect(JSON.parse(limited.stdout)).toHaveLength(2);
  });

  test('--json is an array, also of nothing, and of 5,000', async () => {
    const none = await holdfast(['ls', '--json'], { cwd: application('') });
    expect(JSON.parse(none.stdout)).toEqual([]);
    const many = 'for (let at = 0; at < 5_000; at++) await app.lock(`k${at}`, { ttl: 60_000 });';
    const { stdout } = await holdfast(['ls', '--json'], { cwd: application(many) });
    const keys = (JSON.parse(stdout) as { key: string }[]).map(({ key }) => key);
    expect(new Set(keys).size).toBe(5_000);
  });

  test('ends quietly when its reader does, as head does', async () => {
    const many = 'for (let at = 0; at < 5_000; at++) await app.lock(`k${at}`, { ttl: 60_000 });';
    const through = (command: readonly string[]): string[] => {
      return ['sh', '-c', '"$@" | head -n 1', 'sh', ...command];
    };
    const { stdout, stderr } = await holdfast(['ls', '--json'], {
      cwd: application(many),
      through,
    });
    expect({ stdout, stderr }).toEqual({ stdout: '[\n', stderr: '' });
  });

  test('says when nothing is held', async () => {
    const { code, stdout, stderr } = await holdfast(['ls'], { cwd: application('') });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('nothing is held');
  });

  test('prints no terminal commands that a key brings along', async () => {
    const evil = "await app.lock('\\u001B[2J\\u001B]0;owned\\u0007\\nfake  line');";
    const { stdout } = await holdfast(['ls'], { cwd: application(evil) });
    expect(stripVTControlCharacters(stdout)).toBe(stdout);
    expect(stdout).not.toContain('\u0007');
    expect(stdout).toContain('\\x1b[2J');
    expect(stdout.trimEnd().split('\n')).toHaveLength(2);
  });
});

describe('a key that begins with a dash', () => {
  const DASHES = "await app.lock('--json'); await app.lock('-7'); await app.lock('other');";

  test('is listed, inspected and released after --', async () => {
    const cwd = application(DASHES);
    const list = await holdfast(['ls', '--json', '--', '-'], { cwd });
    const keys = (JSON.parse(list.stdout) as { key: string }[]).map(({ key }) => key);
    expect(keys.toSorted()).toEqual(['--json', '-7']);
    const inspected = await holdfast(['inspect', '--', '-7'], { cwd });
    expect(inspected.stdout).toMatch(/^key +-7\nholder +web-1:17\n/);
    const released = await holdfast(['release', '--reason', 'x', '--', '--json'], { cwd });
    expect(released.stdout).toContain("released '--json', held by web-1:17: x");
  });

  test('is none of a command that takes none', async () => {
    const { code, stderr } = await holdfast(['doctor', '--', 'more'], { cwd: application('') });
    expect(stderr).toContain('too many arguments');
    expect(code).toBe(64);
  });
});

describe('inspect', () => {
  test('shows who holds, and who waits since when', async () => {
    const { code, stdout } = await holdfast(['inspect', 'order:42'], { cwd: application(THREE) });
    expect(stdout).toMatch(/^key +order:42\nholder +web-1:17\n/);
    expect(stdout).toMatch(/^waiting +1\n/m);
    expect(stdout).toMatch(/^since +.* \(\d{4}-\d\d-\d\dT.*Z\)$/m);
    expect(code).toBe(0);
  });

  test('--json is what the locker knows, and null where it is free', async () => {
    const cwd = application(THREE);
    const held = await holdfast(['inspect', 'order:42', '--json'], { cwd });
    expect(JSON.parse(held.stdout)).toMatchObject({
      key: 'order:42',
      label: 'web-1:17',
      waiters: 1,
    });
    const free = await holdfast(['inspect', 'nothing', '--json'], { cwd });
    expect(JSON.parse(free.stdout)).toBeNull();
    expect((await holdfast(['inspect', 'nothing'], { cwd })).stdout).toBe("'nothing' is free.\n");
  });
});

describe('release', () => {
  const TOLD = `
    const lock = await app.lock('order:42');
    lock.signal.addEventListener('abort', () => appendFileSync('told', lock.signal.reason.reason));
  `;

  test('frees the lock, tells its holder, and says who did it and why', async () => {
    const cwd = application(TOLD);
    const { code, stdout } = await holdfast(['release', 'order:42', '--reason', 'INC-7: hung'], {
      cwd,
    });
    expect(stdout).toMatch(
      /^\d{4}-\S+ \S+@\S+ released 'order:42', held by web-1:17: INC-7: hung\n$/,
    );
    expect(code).toBe(0);
    expect(readFileSync(join(cwd, 'told'), 'utf8')).toBe('forced');
  });

  test('--json is the record of it', async () => {
    const args = ['release', 'order:42', '--reason', 'INC-7', '--json'];
    const { stdout } = await holdfast(args, { cwd: application(TOLD) });
    expect(JSON.parse(stdout)).toMatchObject({
      key: 'order:42',
      reason: 'INC-7',
      released: true,
      holder: { label: 'web-1:17' },
    });
  });

  test('of a lock that is free says so', async () => {
    const { code, stdout } = await holdfast(['release', 'k', '--reason', 'x'], {
      cwd: application(''),
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "'k' was not held.\n" });
  });

  test('needs a reason that says something', async () => {
    const { code } = await holdfast(['release', 'k', '--reason', ' '], { cwd: application('') });
    expect(code).toBe(64);
  });
});

describe('the locker of the application', () => {
  test.each([
    ['holdfast.config.js', 'export default createLocker();'],
    ['holdfast.config.mjs', 'export const locker = createLocker();'],
    ['holdfast.config.ts', 'const made: unknown = createLocker();\nexport default made;'],
    ['holdfast.config.js', 'export default () => createLocker();'],
    ['holdfast.config.js', 'export const locker = async () => createLocker();'],
  ])('is found in %s: %s', async (name, code) => {
    const cwd = folder(here);
    writeFileSync(join(cwd, name), `import { createLocker } from '@holdfast/core';\n${code}\n`);
    writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }');
    expect(await holdfast(['ls', '--json'], { cwd })).toMatchObject({ code: 0, stdout: '[]\n' });
  });

  test('is what `run` takes its lock with', async () => {
    const cwd = application('await app.lock("k");');
    expect(await holdfast(['run', 'k', '--try', '--', 'true'], { cwd })).toMatchObject({
      code: 75,
    });
    expect(await holdfast(['run', 'j', '--try', '--', 'true'], { cwd })).toMatchObject({ code: 0 });
  });

  test('is taken from the file that --config names', async () => {
    const cwd = folder(here);
    mkdirSync(join(cwd, 'ops'));
    writeFileSync(
      join(cwd, 'ops/locks.mjs'),
      "import { createLocker } from '@holdfast/core';\nexport default createLocker();\n",
    );
    const { code } = await holdfast(['ls', '--config', 'ops/locks.mjs'], { cwd });
    expect(code).toBe(0);
  });

  test.each([
    ['a file that is missing', undefined],
    ['a file that cannot be read', 'export default {'],
    ['a file that exports no locker', 'export default { lock: 1 };'],
    ['a file that throws', "throw new Error('no database');"],
    ['a function that throws', "export default () => { throw new Error('no database'); };"],
    ['a function that rejects', "export default async () => { throw new Error('no database'); };"],
    ['a file of TypeScript that throws', "throw new Error('no database' as string);", 'locks.mts'],
  ])('is 64 from %s, and says why', async (_, code, name = 'locks.mjs') => {
    const cwd = folder();
    if (code !== undefined) writeFileSync(join(cwd, name), code);
    const result = await holdfast(['ls', '--config', name], { cwd });
    expect(result.code).toBe(64);
    expect(result.stderr).toMatch(/^holdfast: .*locks\.m[jt]s/);
  });

  test.each([
    ['the file', 'await connected(connect(1));'],
    ['its function', 'export default () => connected(connect(1));'],
    ['a host with two addresses', "await connected(connect(1, 'localhost'));"],
    [
      'the client of the file',
      "await connected(connect(1)).catch((cause) => { throw new Error('no Redis', { cause }); });",
    ],
  ])('is 69 where %s finds no server', async (_, code) => {
    const cwd = folder();
    const connecting = `
      import { connect } from 'node:net';
      const connected = (socket) => new Promise((resolve, reject) => {
        socket.on('connect', resolve).on('error', reject);
      });
    `;
    writeFileSync(join(cwd, 'locks.mjs'), connecting + code);
    const result = await holdfast(['ls', '--config', 'locks.mjs'], { cwd });
    expect(result.stderr).toMatch(/^holdfast: .*locks\.mjs/);
    expect(result.code).toBe(69);
  });

  test.each([
    ['a file', 'await new Promise(() => setInterval(() => {}, 1_000));'],
    // Nothing is left to do, which would end the program with a code of Node's.
    ['a function', 'export default () => new Promise(() => {});'],
  ])('is 69 where %s never comes to an end', { timeout: 60_000 }, async (_, code) => {
    const cwd = folder();
    writeFileSync(join(cwd, 'locks.mjs'), code);
    const result = await holdfast(['ls', '--config', 'locks.mjs'], { cwd });
    expect(result.stderr).toMatch(/^holdfast: .*locks\.mjs .*in time\. /);
    expect(result.code).toBe(69);
  });
});

describe('watch', () => {
  const CHANGING = `
    await app.lock('order:42');
    setTimeout(async () => {
      const lock = await app.lock('order:43');
      setTimeout(() => lock.release(), 600);
    }, 600);
  `;

  test('without a terminal prints a line for each lock that comes and goes', async () => {
    const watching = Holdfast.start(['watch', '--interval', '50ms'], {
      cwd: application(CHANGING),
    });
    await watching.says(/\+ order:42 web-1:17 #\d+/);
    await watching.says(/\+ order:43/);
    await watching.says(/- order:43/);
    watching.process.kill('SIGINT');
    const { code, stdout } = await watching.result;
    expect(code).toBe(0);
    expect(stdout).not.toContain('\u001B');
  });

  test('--json prints a picture a line', async () => {
    const watching = Holdfast.start(['watch', '--json', '--interval', '50ms'], {
      cwd: application(CHANGING),
    });
    await watching.says('order:43');
    watching.process.kill('SIGTERM');
    const { stdout } = await watching.result;
    const [first] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(first).toMatchObject({ at: expect.any(Number), locks: [{ key: 'order:42' }] });
  });
});
