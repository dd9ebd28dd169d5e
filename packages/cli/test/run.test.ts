import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { freePort, useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { folder, Holdfast, holdfast, program } from './kit.ts';

const server = useRedis();
let client: Redis;
let locker: Locker;

beforeAll(() => {
  client = new Redis(server.url);
  locker = createLocker({ store: redisStore(client), label: 'the test' });
});
afterAll(async () => {
  await locker.close();
  client.disconnect();
});

const run = (...args: string[]): Promise<Awaited<ReturnType<typeof holdfast>>> =>
  holdfast(['run', '--url', server.url, ...args]);
const start = (...args: string[]): Holdfast =>
  Holdfast.start(['run', '--url', server.url, ...args]);

const isFree = async (key: string): Promise<boolean> => (await locker.inspect(key)) === null;

describe('the command', () => {
  test('runs under the lock, with its key and fencing token, and the lock is free afterwards', async () => {
    const inspected = ['-e', 'console.log(process.env.HOLDFAST_KEY, process.env.HOLDFAST_FENCE)'];
    const { code, stdout, stderr } = await run('env', '--', process.execPath, ...inspected);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^env \d{16}\n$/);
    expect(code).toBe(0);
    expect(await isFree('env')).toBe(true);
    const next = await locker.lock('env');
    expect(next.fencingToken).toBeGreaterThan(Number(stdout.split(' ')[1]));
    await next.release();
  });

  test('gets several locks, all or none, each with its token', async () => {
    const { stdout } = await run(
      'b',
      'a',
      '--',
      'sh',
      '-c',
      'printf "%s|%s" "$HOLDFAST_KEY" "$HOLDFAST_FENCE"',
    );
    expect(stdout).toMatch(/^b\na\|\d{16}\n\d{16}$/);
  });

  test.each([0, 3, 64, 69, 75, 255])('ends it with its own exit code (%i)', async (own) => {
    expect(await run('code', '--', 'sh', '-c', `exit ${own}`)).toMatchObject({ code: own });
  });

  test('that dies by a signal ends it as a shell would', async () => {
    expect(await run('code', '--', 'sh', '-c', 'kill -KILL $$')).toMatchObject({ code: 137 });
  });

  test('that does not exist is 127, and that is no program 126', async () => {
    const missing = await run('code', '--', 'no-such-program');
    expect(missing).toMatchObject({ code: 127 });
    expect(missing.stderr).toContain('no-such-program');
    expect(await run('code', '--', program('heart.mjs'))).toMatchObject({ code: 126 });
    expect(await isFree('code')).toBe(true);
  });

  test.each([
    ['its path leads through a file', [`${program('heart.mjs')}/program`]],
    ['its name is too long', ['x'.repeat(5_000)]],
  ])('that the system refuses is 126: %s', async (_, command) => {
    const { code, stderr } = await run('refused', '--', ...command);
    expect(stderr).toContain('cannot run it');
    expect(code).toBe(126);
    expect(await isFree('refused')).toBe(true);
  });

  test('keeps its arguments as they are, also those that look like ours', async () => {
    const echo = ['-e', 'console.log(JSON.stringify(process.argv.slice(1)))', '--'];
    const words = ['--json', '-h', 'two words', '', '--', "it's", '$HOME'];
    const { stdout } = await run('args', '--', process.execPath, ...echo, ...words);
    expect(JSON.parse(stdout)).toEqual(words);
  });

  test('keeps running while its lock is renewed, far beyond the ttl', async () => {
    // Long enough for a machine that does much else.
    const running = start('long', '--ttl', '6s', '--', 'sh', '-c', 'sleep 14; echo done');
    const { code, stdout, stderr } = await running.result;
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'done\n', stderr: '' });
  });
});

describe('a lock that is busy', () => {
  test('is 75 with --try, and the command does not run', async () => {
    const held = await locker.lock('busy');
    const { code, stdout, stderr } = await run('busy', '--try', '--', 'echo', 'ran');
    await held.release();
    expect(stdout).toBe('');
    expect(stderr).toContain('busy');
    expect(code).toBe(75);
  });

  test('is 75 when it stays busy for longer than --wait', async () => {
    const held = await locker.lock('busy');
    const { code, stdout } = await run('busy', '--wait', '200ms', '--', 'echo', 'ran');
    await held.release();
    expect({ code, stdout }).toEqual({ code: 75, stdout: '' });
  });

  test('is waited for, and the one who waits is seen', async () => {
    const held = await locker.lock('queue');
    const waiting = start('queue', '--', 'echo', 'ran');
    await waiting.says("waiting for 'queue'", 'stderr');
    expect(waiting.stdout).toBe('');
    await held.release();
    expect(await waiting.result).toMatchObject({ code: 0, stdout: 'ran\n' });
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('is waited for until %s comes', async (signal, code) => {
    const held = await locker.lock('queue');
    const waiting = start('queue', '--', 'echo', 'ran');
    await waiting.says('waiting', 'stderr');
    waiting.process.kill(signal);
    expect(await waiting.result).toMatchObject({ code, stdout: '' });
    await held.release();
    const next = await locker.lock('queue', { wait: 20_000 });
    await next.release();
  });

  test('lets one run after the other', async () => {
    const path = join(folder(), 'log');
    const script = `echo "in" >> ${path}; sleep 0.1; echo "out" >> ${path}`;
    const runs = await Promise.all(
      Array.from({ length: 4 }, () => run('turns', '--', 'sh', '-c', script)),
    );
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(readFileSync(path, 'utf8')).toBe('in\nout\n'.repeat(4));
  });
});

describe('a store that is away', () => {
  test('is 69 at once, and the command does not run', async () => {
    const url = `redis://:secret@127.0.0.1:${await freePort()}`;
    const { code, stdout, stderr } = await holdfast([
      'run',
      'k',
      '--url',
      url,
      '--',
      'echo',
      'ran',
    ]);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/127\.0\.0\.1:\d+ cannot be used.*ECONNREFUSED/);
    expect(stderr).not.toContain('secret');
    expect(code).toBe(69);
  });
});

describe('wrong usage', () => {
  test.each([
    ['no command', ['run', 'k']],
    ['an empty command', ['run', 'k', '--']],
    ['a command without a name', ['run', 'k', '--', '']],
    ['no key', ['run', '--', 'true']],
    ['an empty key', ['run', '', '--', 'true']],
    ['a duration that is none', ['run', 'k', '--ttl', 'soon', '--', 'true']],
    ['a ttl of nothing', ['run', 'k', '--ttl', '0', '--', 'true']],
    ['--try with --wait', ['run', 'k', '--try', '--wait', '1s', '--', 'true']],
    ['a limit of nobody', ['run', 'k', '--limit', '0', '--', 'true']],
    ['an unknown option', ['run', 'k', '--forever', '--', 'true']],
    ['an unknown command', ['lock', 'k']],
    ['no command at all', []],
    ['a release without a reason', ['release', 'k']],
    ['a url that is none', ['ls', '--url', 'http://127.0.0.1']],
  ])('is 64: %s', async (_, args) => {
    const url = args.includes('--url') ? [] : ['--url', server.url];
    const own = args[0] === undefined ? [] : [args[0], ...url, ...args.slice(1)];
    const { code, stderr } = await holdfast(own);
    expect(stderr).not.toBe('');
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(64);
  });

  test('is 64 where no store is named, and says what would name one', async () => {
    const { code, stderr } = await holdfast(['run', 'k', '--', 'true']);
    expect(code).toBe(64);
    expect(stderr).toMatch(/--url.*REDIS_URL.*holdfast\.config\.js/);
  });

  test('--help is none', async () => {
    const { code, stdout } = await holdfast(['--help']);
    expect(code).toBe(0);
    for (const name of ['run', 'ls', 'inspect', 'release', 'watch', 'doctor']) {
      expect(stdout).toContain(name);
    }
  });
});

describe('signals', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const)(
    '%s reaches the command, and what that has started',
    async (signal) => {
      const family = [process.execPath, program('family.mjs'), signal];
      const running = start('signals', '--', ...family);
      await running.says('child is ready');
      running.process.kill(signal);
      const { code, stdout } = await running.result;
      expect(stdout).toContain(`child got ${signal}`);
      expect(stdout).toContain(`parent got ${signal}`);
      expect(code).toBe(7);
      expect(await isFree('signals')).toBe(true);
    },
  );

  test('a command that ignores SIGTERM keeps its lock until it ends', async () => {
    const running = start('deaf', '--', 'sh', '-c', "trap '' TERM; echo in; sleep 1; echo done");
    await running.says('in');
    running.process.kill('SIGTERM');
    expect(await isFree('deaf')).toBe(false);
    expect(await running.result).toMatchObject({ code: 0, stdout: 'in\ndone\n' });
    expect(await isFree('deaf')).toBe(true);
  });

  test('when it is killed itself, its command dies with it', async () => {
    const path = join(folder(), 'beats');
    const running = start('orphan', '--', process.execPath, program('heart.mjs'), path);
    await running.says('beats');
    const [, pid = ''] = /pid (\d+)/.exec(running.stdout) ?? [];
    running.process.kill('SIGKILL');
    await running.result;
    // A process that is gone cannot be sent anything.
    await expect.poll(() => isAlive(Number(pid)), { timeout: 20_000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // It may be dead already and only not be waited for.
    const path = `/proc/${pid}/stat`;
    return !existsSync(path) || !/\) Z /.test(readFileSync(path, 'utf8'));
  } catch {
    return false;
  }
}

describe('a lock that is lost', () => {
  test('because an operator released it stops the command, which may tidy up', async () => {
    const script = "trap 'echo tidy; exit 5' TERM; echo in; while :; do sleep 0.02; done";
    const running = start('forced', '--', 'sh', '-c', script);
    await running.says('in');
    await locker.forceRelease('forced');
    const { code, stdout, stderr } = await running.result;
    expect(stdout).toBe('in\ntidy\n');
    expect(stderr).toContain('an operator released the lock');
    expect(code).toBe(5);
  });

  test('kills a command that will not stop, and all that it has started', async () => {
    const script =
      "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 0.02; done' & echo in; wait";
    const running = start('deaf', '--ttl', '1s', '--', 'sh', '-c', script);
    await running.says('in');
    await locker.forceRelease('deaf');
    // Its output ends when nobody has it open any more.
    expect(await running.result).toMatchObject({ code: 137 });
  });

  test('because it was held for as long as it may is told before, and ends in time', async () => {
    const script = "trap 'echo tidy; exit 6' TERM; echo in; while :; do sleep 0.02; done";
    const running = start('max', '--max-hold', '4s', '--', 'sh', '-c', script);
    await running.says('in');
    const { code, stdout, stderr } = await running.result;
    expect(stdout).toBe('in\ntidy\n');
    expect(stderr).toContain('as long as it may');
    expect(code).toBe(6);
    expect(await isFree('max')).toBe(true);
  });

  test('after a time that is far shorter than the ttl does not stop the command at its start', async () => {
    const heldFor = [
      'sh',
      '-c',
      "trap 'exit 6' TERM; sleep 0.3; echo worked; while :; do sleep 0.02; done",
    ];
    const { code, stdout } = await run('max', '--max-hold', '2s', '--ttl', '1m', '--', ...heldFor);
    expect({ code, stdout }).toEqual({ code: 6, stdout: 'worked\n' });
  });
});

describe('--json', () => {
  test('tells on stderr what happens, one object a line', async () => {
    const { stdout, stderr } = await run('json', '--json', '--', 'sh', '-c', 'echo own; exit 3');
    expect(stdout).toBe('own\n');
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(events).toEqual([
      { event: 'acquired', keys: ['json'], fences: [expect.any(Number)] },
      { event: 'ended', keys: ['json'], code: 3, signal: null, released: true },
    ]);
  });

  test.each([
    ['an unknown option', ['--forever']],
    ['a limit of nobody', ['--limit', '0']],
    ['a ttl that is none', ['--ttl', 'soon']],
    ['--try with --wait', ['--try', '--wait', '1s']],
  ])('wrong usage is an object as well: %s', async (_, args) => {
    const { code, stdout, stderr } = await run('usage', '--json', ...args, '--', 'true');
    expect(JSON.parse(stderr)).toEqual({
      event: 'error',
      code: 'USAGE',
      message: expect.stringContaining(args[0] as string),
    });
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
  });

  test('a server that is away is an object as well', async () => {
    const { code, stderr } = await holdfast(['ls', '--json', '--url', 'redis://127.0.0.1:1']);
    expect(JSON.parse(stderr)).toMatchObject({ event: 'error', code: 'LOCK_STORE_UNAVAILABLE' });
    expect(code).toBe(69);
  });

  test('an error has its code', async () => {
    const held = await locker.lock('busy');
    const { stderr } = await run('busy', '--json', '--try', '--', 'true');
    await held.release();
    expect(JSON.parse(stderr)).toMatchObject({ event: 'error', code: 'LOCK_NOT_ACQUIRED' });
  });
});

test('--label says who holds, for people', async () => {
  const running = start('label', '--label', 'deploy 17', '--', 'sh', '-c', 'echo in; sleep 1');
  await running.says('in');
  expect(await locker.inspect('label')).toMatchObject({ label: 'deploy 17' });
  await running.result;
});
