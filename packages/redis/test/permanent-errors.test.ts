import { createLocker, LockStoreError, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { redisBinary, startRedis } from '@holdfast/test-servers';
import { Cluster } from 'ioredis';
import { describe, expect } from 'vitest';
import type { ClientPort } from '../src/connection/port.ts';
import { toStoreError } from '../src/commands/errors.ts';
import { fails, Site, test, until } from './site.ts';

/** It is told without a second try, also to those who would wait for ever. */
async function refusesAtOnce(locker: Locker, message: RegExp): Promise<void> {
  const attempts = [locker.tryLock('key'), locker.lock('key'), locker.inspect('key')];
  for (const { error } of await Promise.all(attempts.map(fails))) {
    expect(error).toBeInstanceOf(LockStoreError);
    expect(error).toMatchObject({ permanent: true });
    expect((error as LockStoreError).message).toMatch(message);
  }
}

describe.concurrent('what trying again cannot heal is an error at once', () => {
  test('a password that is missing', async ({ site }) => {
    await site.admin.config('SET', 'requirepass', 'secret');
    await refusesAtOnce(site.locker(), /credentials/);
  });

  test('a password that is wrong', async ({ site }) => {
    await site.admin.config('SET', 'requirepass', 'secret');
    await refusesAtOnce(site.locker({}, site.client({ password: 'wrong' })), /credentials/);
  });

  test('a user that may not run scripts', async ({ site }) => {
    await site.admin.acl('SETUSER', 'reader', 'on', '>secret', '~*', '&*', '+@read', '+info');
    const client = site.client({ username: 'reader', password: 'secret' });
    await refusesAtOnce(site.locker({}, client), /may not run EVAL/);
  });

  test.for([
    [
      'a command inside its scripts',
      ['~*', '&*', '+@all', '-get'],
      /but not a command that the scripts need/,
    ],
    ['the keys of the lock', ['~other:*', '&*', '+@all'], /grant it `~\{<namespace>:\*`/],
    ['EVAL', ['~*', '&*', '+@all', '-eval'], /may not run EVAL: grant it `\+eval`/],
  ] as const)('a user that may not use %s', async ([, rights, message], { site }) => {
    await site.admin.acl('SETUSER', 'limited', 'on', '>secret', ...rights);
    const client = site.client({ username: 'limited', password: 'secret' });
    await refusesAtOnce(site.locker({}, client), message);
  });

  test('a server on which EVAL has another name', async () => {
    const site = await Site.start(['--rename-command', 'EVAL', '']);
    try {
      await refusesAtOnce(site.locker(), /does not know EVAL\b/);
    } finally {
      await site.end();
    }
  });

  test('a server on which EVALSHA has another name', async () => {
    const site = await Site.start(['--rename-command', 'EVALSHA', '']);
    try {
      const locker = site.locker();
      await fails(locker.inspect('key'));
      const { error } = await fails(locker.inspect('key'));
      expect(error).toMatchObject({ permanent: true });
      expect(String(error)).toMatch(/does not know EVALSHA\b/);
    } finally {
      await site.end();
    }
  });

  test('a client that listens to messages, where that can do nothing else', async ({ site }) => {
    const client = site.client();
    await client.subscribe('news');
    const { error } = await fails(client.get('anything'));
    const locker = site.locker({}, client);
    // With the newer protocol, a client can do both.
    if (error === undefined) expect(await locker.tryLock('key')).not.toBeNull();
    else await refusesAtOnce(locker, /subscriber mode/);
  });

  test('a server that lacks a command of the scripts, as those before 6.2 do', async () => {
    const site = await Site.start(['--rename-command', 'GET', '']);
    try {
      await refusesAtOnce(site.locker(), /needs Redis 6\.2 or later/);
    } finally {
      await site.end();
    }
  });

  test('a server before 6.2, by its answer to a new lock', () => {
    const client = { state: 'ready' } as ClientPort;
    const answer = new Error(
      'ERR Error running script (call to f_6b1bf486): @user_script:24: ERR syntax error',
    );
    const error = toStoreError(answer, client, 'acquire');
    expect(error).toMatchObject({ permanent: true, cause: { message: answer.message } });
    expect(String(error)).toMatch(/needs Redis 6\.2 or later/);
  });

  test('a client that was disconnected', async ({ site }) => {
    const client = site.client();
    const locker = site.locker({}, client);
    await locker.withLock('key', () => {});
    client.disconnect();
    await until('it has ended', () => client.status === 'end');
    await refusesAtOnce(locker, /closed/);
  });

  test('a client that gives up connecting', async ({ site }) => {
    const client = site.client({ retryStrategy: () => null, maxRetriesPerRequest: 0 });
    const locker = site.locker({}, client);
    await locker.withLock('key', () => {});
    await site.server.kill();
    await until('it has ended', () => client.status === 'end');
    await refusesAtOnce(locker, /closed/);
  });
});

describe.concurrent('a client that is closed under a held lock', () => {
  test.for(['disconnect', 'quit'] as const)(
    'keeps the lock to its deadline after %s() on its client',
    async (how, { site }) => {
      const client = site.client();
      const locker = site.locker({ ttl: 8_000 }, client);
      const lock = await locker.lock('key');
      await client[how]();
      expect(lock.state).toBe('held');
      lock.assertHeld();
      await until('it is lost', () => lock.state === 'lost');
      expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
      expect(await lock.release()).toBe(false);
    },
  );
});

describe.concurrent('a client with options of its own', () => {
  test('recovers with a client that never queues and never retries', async ({ site }) => {
    const options = { enableOfflineQueue: false, maxRetriesPerRequest: 0 };
    const client = site.client(options);
    await until('it is connected', () => client.status === 'ready');
    const locker = site.locker({}, client);
    const lock = await locker.lock('key');
    site.proxy.cutAll();
    const { error } = await fails(locker.tryLock('other'));
    if (error !== undefined) expect(error).toMatchObject({ permanent: false });
    expect((await locker.lock('third')).state).toBe('held');
    await lock.extend();
    expect(await lock.release()).toBe(true);
  });

  test('recovers with a client that times its commands out', async ({ site }) => {
    const locker = site.locker({ ttl: 10_000 }, site.client({ commandTimeout: 200 }));
    const lock = await locker.lock('key');
    await site.freeze();
    const { error } = await fails(locker.tryLock('other'));
    expect(error).toMatchObject({ permanent: false });
    expect(String((error as LockStoreError).cause)).toContain('timed out');
    site.server.thaw();
    await until('it is renewed', async () => (await fails(lock.extend())).error === undefined);
    // What timed out is taken back.
    expect((await site.locker().lock('other', { wait: 30_000 })).state).toBe('held');
  });

  test('works with a client that connects on first use', async ({ site }) => {
    const locker = site.locker({}, site.client({ lazyConnect: true }));
    expect((await locker.lock('key')).state).toBe('held');
  });
});

describe.concurrent('a cluster without all its slots', () => {
  const clustered = ['--cluster-enabled', 'yes'];

  test('rejects with an error, not as busy', async ({ site }) => {
    const server = await startRedis(redisBinary(), { args: clustered });
    site.onEnd(() => server.stop());
    const options = { clusterRetryStrategy: () => 100 };
    const cluster = new Cluster([{ host: server.host, port: server.port }], options);
    cluster.on('error', () => {});
    site.onEnd(() => cluster.disconnect());
    const locker = createLocker({ store: redisStore(cluster), storeTimeout: 700 });
    site.onEnd(() => locker.close());
    const { error } = await fails(locker.tryLock('key'));
    expect(error).toBeInstanceOf(LockStoreError);
    expect((await fails(locker.lock('key', { wait: 500 }))).error).toBeInstanceOf(LockStoreError);
  });

  test('says CLUSTERDOWN to a client of one node', async ({ site }) => {
    const server = await startRedis(redisBinary(), { args: clustered });
    const client = site.admin.duplicate({ port: server.port });
    client.on('error', () => {});
    site.onEnd(() => server.stop());
    site.onEnd(() => client.disconnect());
    const { error } = await fails(site.locker({}, client).tryLock('key'));
    expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE', permanent: false });
    expect(String((error as LockStoreError).cause)).toContain('CLUSTERDOWN');
  });
});
