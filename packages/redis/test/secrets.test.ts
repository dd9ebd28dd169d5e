import { inspect } from 'node:util';
import { createLocker } from '@holdfast/core';
import { redisQuorum } from '@holdfast/redis';
import { describe, expect } from 'vitest';
import { fails, Site, test, until } from './site.ts';

/** All that an error says, however it is printed. */
function said(error: unknown): string {
  const parts: string[] = [inspect(error, { depth: Infinity, showHidden: true })];
  for (let one = error; one instanceof Error; one = one.cause) {
    parts.push(one.message, one.stack ?? '', JSON.stringify(one, Object.getOwnPropertyNames(one)));
  }
  // The key that the caller gave is in `error.key`, and nowhere else.
  return parts.join('\n').replaceAll(/["[]?key["\]]?: ?['"]secret-key['"]/g, '');
}

type Options = Record<string, unknown>;

const SECRETS = /secret-key|secret-owner|secret-password/;

const causes: Record<string, (site: Site) => Promise<Options> | Options> = {
  'a wrong password': async (site) => {
    await site.admin.config('SET', 'requirepass', 'right');
    return { password: 'secret-password' };
  },
  'a missing right': async (site) => {
    await site.admin.acl('SETUSER', 'limited', 'on', '>secret-password', '~*', '&*', '+info');
    return { username: 'limited', password: 'secret-password' };
  },
  'foreign data': async (site) => {
    await site.admin.set('{holdfast:secret-key}', 'theirs');
    return {};
  },
  'a lack of memory': async (site) => {
    await site.admin.config('SET', 'maxmemory', '1');
    return {};
  },
  'a time-out of the client': async (site) => {
    await site.freeze();
    return { commandTimeout: 200 };
  },
  'a connection that is lost': (site) => {
    site.proxy.cutAll();
    return { maxRetriesPerRequest: 0, retryStrategy: () => 50 };
  },
};

describe.concurrent('an error tells no key, owner or password', () => {
  test.for(Object.entries(causes))(
    'tells no key, owner or password after %s',
    async ([, cause], { site }) => {
      const client = site.client(await cause(site));
      const locker = site.locker({ ttl: 1_000 }, client);
      const told: unknown[] = [];
      locker.on('store-error', ({ error }) => told.push(error));
      const lock = locker.lock('secret-key', { owner: 'secret-owner', wait: 300 });
      const { error } = await fails(lock);
      for (const one of [error, ...told]) expect(said(one)).not.toMatch(SECRETS);
    },
  );

  test('tells no key, owner or password from a quorum after a wrong password', async ({ site }) => {
    await site.admin.config('SET', 'requirepass', 'right');
    // Three databases of a server are as good as three servers here.
    const clients = [0, 1, 2].map((db) => site.client({ db, password: 'secret-password' }));
    const locker = createLocker({ store: redisQuorum(clients), ttl: 1_000 });
    site.onEnd(() => locker.close());
    const told: unknown[] = [];
    locker.on('store-error', ({ error }) => told.push(error));
    const { error } = await fails(locker.lock('secret-key', { owner: 'secret-owner', wait: 300 }));
    for (const one of [error, ...told]) expect(said(one)).not.toMatch(SECRETS);
    expect(error).toMatchObject({ code: 'LOCK_STORE_UNAVAILABLE' });
  });

  test('tells no key, owner or password when Redis repeats the arguments of an unknown command', async () => {
    const site = await Site.start([
      '--rename-command',
      'EVAL',
      '',
      '--rename-command',
      'EVALSHA',
      '',
    ]);
    try {
      const locker = site.locker();
      const { error } = await fails(locker.lock('secret-key', { owner: 'secret-owner' }));
      expect(error).toMatchObject({ permanent: true });
      expect(said(error)).not.toMatch(SECRETS);
      await until('the server has refused it', () => true);
    } finally {
      await site.end();
    }
  });
});
