import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Holdfast, holdfast } from './kit.ts';

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

const env = (): { env: NodeJS.ProcessEnv } => ({ env: { REDIS_URL: server.url } });
const on = (...args: string[]) => holdfast(args, env());
const run = (...args: string[]) => on('run', ...args, '--', 'echo', 'ran');

describe('run', () => {
  test('--limit lets so many run, and --try finds the next one busy', async () => {
    const held = await locker.lock('limit', { limit: 2 });
    expect(await run('limit', '--limit', '2', '--try')).toMatchObject({ code: 0, stdout: 'ran\n' });
    const other = await locker.lock('limit', { limit: 2 });
    expect(await run('limit', '--limit', '2', '--try')).toMatchObject({ code: 75, stdout: '' });
    await Promise.all([held.release(), other.release()]);
  });

  test('--limit is waited for, until somebody leaves', async () => {
    const held = await locker.lock('wait', { limit: 2, weight: 2 });
    const waiting = Holdfast.start(['run', 'wait', '--limit', '2', '--', 'echo', 'ran'], env());
    await waiting.says("waiting for 'wait'", 'stderr');
    expect(waiting.stdout).toBe('');
    await held.release();
    expect(await waiting.result).toMatchObject({ code: 0, stdout: 'ran\n' });
  });

  test('--weight takes so many of them', async () => {
    const held = await locker.lock('weight', { limit: 4 });
    const heavy = ['weight', '--limit', '4', '--try', '--weight'];
    expect(await run(...heavy, '3')).toMatchObject({ code: 0 });
    expect(await run(...heavy, '4')).toMatchObject({ code: 75 });
    await held.release();
  });

  test('--limit has one for each of several keys', async () => {
    const held = await locker.lock(['tenant', 'total'], { limit: [1, 3] });
    const keys = ['--limit', '1,3', '--try'];
    expect(await run('tenant', 'total', ...keys)).toMatchObject({ code: 75 });
    expect(await run('another', 'total', ...keys)).toMatchObject({ code: 0 });
    await held.release();
  });

  test('--shared runs beside others that do, and never beside one that does not', async () => {
    const reader = await locker.lock('shared', { shared: true });
    expect(await run('shared', '--shared', '--try')).toMatchObject({ code: 0 });
    expect(await run('shared', '--try')).toMatchObject({ code: 75 });
    await reader.release();
    const writer = await locker.lock('shared');
    expect(await run('shared', '--shared', '--try')).toMatchObject({ code: 75 });
    await writer.release();
  });

  test('says both limits when they disagree, and runs nothing', async () => {
    const held = await locker.lock('conflict', { limit: 3 });
    const { code, stdout, stderr } = await run('conflict', '--limit', '5');
    await held.release();
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
    expect(stderr).toMatch(/3.*5|5.*3/);
  });

  test.each([
    ['a weight above the limit', ['--limit', '2', '--weight', '3']],
    ['a weight of nothing', ['--limit', '2', '--weight', '0']],
    ['a limit that is none', ['--limit', '2,many']],
    ['a limit too many', ['--limit', '2,3']],
    ['readers with a limit', ['--shared', '--limit', '2']],
  ])('is 64 with %s', async (_, flags) => {
    const { code, stdout, stderr } = await run('wrong', ...flags);
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
    expect(stderr).not.toBe('');
  });
});

describe('a lock that several hold', () => {
  test('is listed once, with how many hold it, and inspected with all of them', async () => {
    const first = await locker.lock('seen', { limit: 3, label: 'first' });
    const second = await locker.lock('seen', { limit: 3, label: 'second' });
    expect((await on('ls', 'seen')).stdout).toMatch(/seen\s+first and 1 more\s/);
    const { stdout } = await on('inspect', 'seen');
    expect(stdout).toMatch(/holder +first\n[^]*holder +second\n/);
    expect(stdout).toContain(`owner    ${second.owner}`);
    const info = JSON.parse((await on('inspect', 'seen', '--json')).stdout);
    expect(info).toMatchObject({ holders: [{ label: 'first' }, { label: 'second' }] });
    await Promise.all([first.release(), second.release()]);
  });

  test('is released for one holder, or for all', async () => {
    const take = () => locker.lock('freed', { limit: 3, onLost: () => {} });
    const [first, second, third] = [await take(), await take(), await take()];
    const reason = ['--reason', 'INC-7'];
    const nobody = await on('release', 'freed', '--holder', 'nobody', ...reason);
    expect(nobody.stdout).toBe("'freed' was not held.\n");
    const one = await on('release', 'freed', '--holder', second.owner, ...reason);
    expect(one.stdout).toMatch(/released 'freed', held by the test: INC-7/);
    await expect.poll(() => second.state).toBe('lost');
    expect([first.state, third.state]).toEqual(['held', 'held']);
    const all = await on('release', 'freed', ...reason);
    expect(all.stdout).toMatch(/released 'freed', held by the test and 1 more: INC-7/);
    await expect.poll(() => [first.state, third.state]).toEqual(['lost', 'lost']);
  });

  test('whose command is released by an operator stops that command, and no other', async () => {
    const flags = ['--limit', '2', '--label', 'the command', '--', 'sleep', '60'];
    const running = Holdfast.start(['run', 'stopped', '--json', ...flags], env());
    await running.says('acquired', 'stderr');
    const other = await locker.lock('stopped', { limit: 2 });
    const info = await locker.inspect('stopped');
    const its = info?.holders?.find(({ label }) => label === 'the command');
    await on('release', 'stopped', '--holder', its?.owner ?? '', '--reason', 'INC-7');
    expect(await running.result).toMatchObject({ code: 143 });
    other.assertHeld();
    await other.release();
  });
});
