import { redisBinary, redisCommand, startRedis, type RedisOptions } from '@holdfast/test-servers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { holdfast } from './kit.ts';

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly advice?: string;
}

async function started(options: RedisOptions = {}) {
  const server = await startRedis(redisBinary(), options);
  onTestFinished(() => server.stop());
  return { server, url: `redis://${server.host}:${server.port}` };
}

async function examine(url: string) {
  const { code, stdout } = await holdfast(['doctor', '--json', '--url', url]);
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Finding[] };
  const of = (name: string) => checks.find(({ check }) => check === name);
  return { code, ok, checks, of };
}

describe('doctor', () => {
  test('finds a server fit, and says what it has looked at', async () => {
    const { url } = await started({ args: ['--appendonly', 'yes'] });
    const { code, ok, of } = await examine(url);
    for (const check of [
      'round trip',
      'clock',
      'server',
      'eviction',
      'memory',
      'persistence',
      'locks',
      'messages',
    ]) {
      expect(of(check)).toMatchObject({ check, status: 'ok' });
    }
    expect(ok).toBe(true);
    expect(code).toBe(0);
  });

  test('leaves nothing behind that is held', async () => {
    const { server, url } = await started();
    await examine(url);
    const keys = await redisCommand(
      server,
      'EVAL',
      "local n = 0; for _, k in ipairs(redis.call('KEYS', '*')) do if redis.call('PTTL', k) == -1 then n = n + 1 end end; return n",
      '0',
    );
    expect(keys.trim()).toBe(':0');
  });

  test('fails a server that may evict locks, with what to do', async () => {
    const { url } = await started({
      args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'],
    });
    const { code, ok, of } = await examine(url);
    expect(of('eviction')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('noeviction'),
    });
    expect(ok).toBe(false);
    expect(code).toBe(1);
  });

  test('warns of a server that forgets its locks with a crash', async () => {
    const { url } = await started();
    const { code, of } = await examine(url);
    expect(of('persistence')).toMatchObject({
      status: 'warn',
      advice: expect.stringContaining('appendonly'),
    });
    expect(code).toBe(0);
  });

  test.each([
    ['do not arrive', ['resetchannels', '+@all']],
    ['may not be sent', ['&*', '+@all', '-publish', '-spublish']],
  ])('warns where messages %s', async (_, channels) => {
    const { server, url } = await started();
    const rights = ['on', '>pw', '~*', ...channels];
    await redisCommand(server, 'ACL', 'SETUSER', 'quiet', ...rights);
    const { of } = await examine(url.replace('redis://', 'redis://quiet:pw@'));
    expect(of('messages')).toMatchObject({ status: 'warn' });
  });

  test('fails a user without the rights that locks need', async () => {
    const { server, url } = await started();
    await redisCommand(
      server,
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>pw',
      '~*',
      '&*',
      '+ping',
      '+info',
      '+time',
      '+get',
    );
    const { code, of } = await examine(url.replace('redis://', 'redis://reader:pw@'));
    expect(of('locks')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('rights'),
    });
    expect(code).toBe(1);
  });

  test('without --json prints a line for each check', async () => {
    const { url } = await started();
    const { stdout } = await holdfast(['doctor', '--url', url]);
    // How long it takes is the machine's affair.
    expect(stdout).toMatch(/^[✔!] round trip /m);
    expect(stdout).toMatch(/^! persistence .*\n +→ /m);
  });

  test('is 69 where there is no server, and where its password is refused', async () => {
    const { url } = await started({ args: ['--requirepass', 'pw'] });
    const refused = await holdfast(['doctor', '--url', url]);
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain('NOAUTH');
  });

  test('uses no other database than the one that it was told to', async () => {
    const { url } = await started();
    const refused = await holdfast(['ls', '--url', `${url}/99`]);
    expect(refused).toMatchObject({ code: 69, stdout: '' });
    expect(refused.stderr).toContain('DB index is out of range');
    const unknown = await holdfast(['ls', '--url', `${url}/mine`]);
    expect(unknown).toMatchObject({ code: 64, stdout: '' });
    expect(await holdfast(['ls', '--url', `${url}/3`])).toMatchObject({ code: 0 });
  });
});
