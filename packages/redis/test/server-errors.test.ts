import { setTimeout as sleep } from 'node:timers/promises';
import { LockStoreError, type Lock } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { fails, Site, test as base, until } from './site.ts';

const test = base.extend<{ site: Site }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest wants one
  site: async ({}, use) => {
    const args = ['--enable-debug-command', 'yes', '--busy-reply-threshold', '5'];
    const site = await Site.start([...args, '--loading-process-events-interval-bytes', '1024']);
    await use(site);
    await site.end();
  },
});

const isLoading = ({ error }: { error: unknown }): boolean => String(error).includes('LOADING');

interface Trouble {
  readonly begin: (site: Site) => unknown;
  readonly end: (site: Site) => unknown;
}

/** A server that answers, but with an error. */
const troubles: Record<string, Trouble> = {
  READONLY: {
    begin: ({ admin }) => admin.replicaof('127.0.0.1', 1),
    end: ({ admin }) => admin.replicaof('NO', 'ONE'),
  },
  MASTERDOWN: {
    begin: async ({ admin }) => {
      await admin.config('SET', 'replica-serve-stale-data', 'no');
      await admin.replicaof('127.0.0.1', 1);
    },
    end: ({ admin }) => admin.replicaof('NO', 'ONE'),
  },
  LOADING: {
    begin: async (site) => {
      const { admin } = site;
      for (let index = 0; index < 200; index++) await admin.set(`load:${index}`, 'x'.repeat(500));
      // So many µs for each key: some seconds in all, while which it answers now and then.
      await admin.config('SET', 'key-load-delay', '15000');
      void admin.call('DEBUG', 'RELOAD').catch(() => {});
      const other = admin.duplicate({ enableReadyCheck: false });
      site.onEnd(() => other.disconnect());
      await until('the server loads', async () => isLoading(await fails(other.ping())));
    },
    end: ({ admin }) =>
      until('the server has loaded', async () => !isLoading(await fails(admin.ping()))),
  },
  BUSY: {
    begin: async (site) => {
      const busy = site.admin.duplicate();
      busy.on('error', () => {});
      site.onEnd(() => busy.disconnect());
      void busy.eval('while true do end', 0).catch(() => {});
      await until('the server is busy', async () =>
        String((await fails(site.admin.ping())).error).includes('BUSY'),
      );
    },
    end: async ({ admin }) => {
      await admin.script('KILL');
      await until(
        'it is busy no more',
        async () => (await fails(admin.ping())).error === undefined,
      );
    },
  },
  MISCONF: {
    begin: async (site) => {
      const { admin } = site;
      await admin.config('SET', 'save', '900 1');
      await site.breakSaving(true);
      await admin.bgsave();
      await until('saving has failed', async () =>
        (await admin.info('persistence')).includes('rdb_last_bgsave_status:err'),
      );
    },
    end: async (site) => {
      await site.breakSaving(false);
      await site.admin.bgsave();
      await until('saving works', async () =>
        (await site.admin.info('persistence')).includes('rdb_last_bgsave_status:ok'),
      );
    },
  },
};

for (const [name, { begin, end }] of Object.entries(troubles)) {
  describe.concurrent(`a server that answers ${name}`, () => {
    test('rejects with an error, not as busy', async ({ site }) => {
      const locker = site.locker();
      await locker.withLock('warm-up', () => {});
      await begin(site);
      const { error } = await fails(locker.tryLock('key'));
      expect(error).toBeInstanceOf(LockStoreError);
      expect(error).toMatchObject({ permanent: false, phase: 'acquire' });
      expect(String((error as LockStoreError).cause)).toContain(name);
      const waiting = await fails(locker.lock('key', { wait: 700 }));
      expect(waiting.error).toBeInstanceOf(LockStoreError);
      expect(waiting.after).toBeGreaterThanOrEqual(690);
      await end(site);
      expect(await locker.tryLock('key')).not.toBeNull();
    });

    test('loses no lock, and frees afterwards what was released meanwhile', async ({ site }) => {
      const locker = site.locker({ ttl: 60_000 });
      const [lock, kept] = await Promise.all(['key', 'kept'].map((key) => locker.lock(key)));
      await begin(site);
      const released = fails((lock as Lock).release());
      // Where the server still executes what needs no write, nothing fails.
      const extended = await fails((kept as Lock).extend(80_000));
      if (extended.error !== undefined) expect(extended.error).toBeInstanceOf(LockStoreError);
      const { error, after } = await released;
      expect(error).toBeUndefined();
      expect(after).toBeLessThan(20_000);
      expect(kept?.state).toBe('held');
      await end(site);
      // Long before its lease is over.
      await until('it is free', async () => (await locker.inspect('key')) === null, 30_000);
      await kept?.extend();
      expect(kept?.state).toBe('held');
      expect(await kept?.release()).toBe(true);
    });

    test('serves those who wait when it is over', async ({ site }) => {
      const locker = site.locker();
      await locker.withLock('warm-up', () => {});
      await begin(site);
      const waits = Promise.all(['a', 'b'].map((key) => locker.lock(key)));
      await sleep(300);
      await end(site);
      expect((await waits).map((lock) => lock.state)).toEqual(['held', 'held']);
    });
  });
}
