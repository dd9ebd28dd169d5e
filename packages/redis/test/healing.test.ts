import { describe, expect } from 'vitest';
import { test, until, waiting } from './site.ts';

const LOCK = '{holdfast:key}';

describe.concurrent('a state whose expiry was taken away', () => {
  test('does not keep a reservation for ever', async ({ site }) => {
    const client = site.client();
    const lock = await site.locker().lock('key');
    const gone = site.locker({}, client);
    void (await waiting(gone, () => gone.lock('key')));
    client.disconnect();
    await lock.release();
    expect(await site.admin.get(LOCK)).toContain('reserved');
    await site.admin.persist(LOCK);
    const other = site.locker();
    await until('it is free', async () => {
      const taken = await other.tryLock('key');
      await taken?.release();
      return taken !== null;
    });
    expect(await site.admin.pttl(LOCK)).toBeGreaterThan(0);
  });

  test('does not keep a reservation from being freed by force', async ({ site }) => {
    const client = site.client();
    const lock = await site.locker().lock('key');
    const gone = site.locker({}, client);
    void (await waiting(gone, () => gone.lock('key')));
    client.disconnect();
    await lock.release();
    await site.admin.persist(LOCK);
    const other = site.locker();
    await other.forceRelease('key');
    expect(await other.tryLock('key')).not.toBeNull();
  });

  test('does not keep a lock whose holder has crashed', async ({ site }) => {
    const client = site.client();
    await site.locker({ ttl: 500 }, client).lock('key');
    client.disconnect();
    await site.admin.persist(LOCK);
    const next = await site.locker().lock('key', { wait: 30_000 });
    expect(next.state).toBe('held');
    expect(await site.admin.pttl(LOCK)).toBeGreaterThan(0);
  });

  test.for(['renew', 'release', 'force-release'])(
    'comes back with a %s',
    async (verb, { site }) => {
      const locker = site.locker();
      const lock = await locker.lock('key');
      await site.admin.persist(LOCK);
      if (verb === 'renew') await lock.extend();
      // A lock that is kept busy, too.
      else if (verb === 'release') await lock.release();
      else await locker.forceRelease('key');
      if (verb === 'release') await locker.withLock('key', () => {});
      const left = await site.admin.pttl(LOCK);
      expect(left === -2 || left > 0).toBe(true);
    },
  );
});

describe.concurrent('a lease or a reservation that ends in the far future', () => {
  test.for([
    ['held', 'holdfast:1 held 9999999999999 999999999 1764401234567890 1 - id pabc/x label ='],
    ['kept', 'holdfast:1 kept 9999999999999 999999999 1764401234567890 1 - id pabc/x label ='],
    ['reserved', `holdfast:1 reserved ${Date.now() + 3_600_000} 1764401234567890 pabc/x`],
  ])('counts as over: %s', async ([, value], { site }) => {
    const locker = site.locker();
    await site.admin.set(LOCK, value as string);
    expect(await locker.inspect('key')).toBeNull();
    const lock = await locker.tryLock('key');
    expect(lock?.fencingToken).toBeGreaterThan(1_764_401_234_567_890);
    expect(await site.admin.pttl(LOCK)).toBeGreaterThan(0);
  });
});
