import { LockArgumentError, LockStoreError } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { test, until, type Site } from './kit/site.ts';

const STORED = 'memlock:job';
const compat = 'memlock';

/** A client of the Go side, by what it sends. It uses the text protocol, as gomemcache does. */
class GoClient {
  constructor(
    private readonly site: Site,
    private readonly id: string,
  ) {}

  /** Adds, or takes over what is its own or nobody's. */
  async lock(): Promise<boolean> {
    const value = `${this.id.length}\r\n${this.id}`;
    if ((await this.site.ask(`add ${STORED} 0 16 ${value}`)) === 'STORED') return true;
    return this.refresh();
  }

  async refresh(): Promise<boolean> {
    const item = await this.site.item(STORED);
    if (item === undefined || (item.value !== '' && item.value !== this.id)) return false;
    const { length } = this.id;
    const command = `cas ${STORED} 0 16 ${length} ${item.cas}\r\n${this.id}`;
    return (await this.site.ask(command)) === 'STORED';
  }

  /** Leaves an empty item for a while. */
  async release(): Promise<boolean> {
    const item = await this.site.item(STORED);
    if (item?.value !== this.id) return false;
    return (await this.site.ask(`cas ${STORED} 0 1 0 ${item.cas}\r\n`)) === 'STORED';
  }
}

describe.concurrent("with compat: 'memlock'", () => {
  test('the item is called and holds what the Go side expects', async ({ site }) => {
    const locker = site.locker({ compat, namespace: 'elsewhere' });
    const lock = await locker.lock('job', { owner: 'node-1' });
    expect(await site.value(STORED)).toBe('node-1');
    await lock.extend();
    expect(await site.value(STORED)).toBe('node-1');
    expect(await lock.release()).toBe(true);
    expect(await site.value(STORED)).toBeUndefined();
  });

  test('an owner is stored as it was given, whatever it begins with', async ({ site }) => {
    const locker = site.locker({ compat });
    for (const owner of ['_', '__', '_node-1', '__node-1', '_AAAAAAAAAAA']) {
      const lock = await locker.lock('job', { owner });
      expect(await site.value(STORED)).toBe(owner);
      const go = new GoClient(site, owner);
      expect(await go.refresh()).toBe(true);
      expect(await locker.inspect('job')).toMatchObject({ owner });
      // What Go has written is the same owner's, and can be taken over.
      const newer = await locker.lock('job', { owner, wait: 0 });
      expect(lock.state).toBe('lost');
      await newer.release();
      expect(await new GoClient(site, owner).lock()).toBe(true);
      expect(await (await locker.tryLock('job', { owner }))?.release()).toBe(true);
    }
    await locker.withLock('job', { owner: '_kept', holdAtLeast: 2_000 }, () => {});
    expect(await site.value(STORED)).toBe('holdfast-kept:_kept');
    expect(await locker.inspect('job')).toMatchObject({ owner: '_kept' });
    expect(await locker.forceRelease('job')).toBe(true);
  });

  test('the two sides exclude each other', async ({ site }) => {
    const go = new GoClient(site, 'go-1');
    const locker = site.locker({ compat });
    const lock = await locker.lock('job', { owner: 'node-1' });
    expect(await go.lock()).toBe(false);
    await lock.release();
    expect(await go.lock()).toBe(true);
    expect(await locker.tryLock('job', { owner: 'node-1' })).toBeNull();
    expect(await go.refresh()).toBe(true);
    // What Go has released can be taken at once, though the item is still there.
    const waiting = locker.lock('job', { owner: 'node-1', wait: 20_000 });
    expect(await go.release()).toBe(true);
    expect((await waiting).state).toBe('held');
    expect(await go.lock()).toBe(false);
  });

  test('an empty item is taken by one of many', async ({ site }) => {
    for (let round = 0; round < 20; round++) {
      await site.ask(`set ${STORED} 0 60 0\r\n`);
      const go = new GoClient(site, 'go-1');
      const lockers = ['a', 'b', 'c'].map((owner) => ({ owner, locker: site.locker({ compat }) }));
      const [taken, ...locks] = await Promise.all([
        go.lock(),
        ...lockers.map(({ owner, locker }) => locker.tryLock('job', { owner })),
      ]);
      const holders = locks.filter((lock) => lock !== null);
      expect(holders.length + (taken ? 1 : 0)).toBe(1);
      for (const lock of holders) await lock.release();
      await site.ask(`delete ${STORED}`);
    }
  });

  test('a lock that Go has taken is found lost', async ({ site }) => {
    const locker = site.locker({ compat });
    const lock = await locker.lock('job', { owner: 'node-1' });
    await site.ask(`set ${STORED} 0 60 4\r\ngo-1`);
    await until('it is lost', () => lock.signal.aborted);
    expect(lock.signal.reason).toMatchObject({ reason: 'stolen' });
    expect(await lock.release()).toBe(false);
    expect(await site.value(STORED)).toBe('go-1');
  });

  test('an owner resumes its own lock, and the older handle is lost', async ({ site }) => {
    const locker = site.locker({ compat });
    const older = await locker.lock('job', { owner: 'node-1' });
    const newer = await locker.lock('job', { owner: 'node-1', wait: 0 });
    expect(newer.fencingToken).toBeGreaterThan(older.fencingToken);
    expect(older.state).toBe('lost');
    expect(await older.release()).toBe(false);
    expect(await site.value(STORED)).toBe('node-1');
    // After a crash there is nothing that this process remembers.
    const revived = await site.locker({ compat }).tryLock('job', { owner: 'node-1' });
    expect(revived?.state).toBe('held');
    expect(await revived?.release()).toBe(true);
  });

  test('a lost reply is settled by what the item says', async ({ site }) => {
    const locker = site.locker({ compat });
    site.proxy.cutNextReply();
    const lock = await locker.tryLock('job', { owner: 'node-1' });
    site.proxy.cutNextReply();
    await lock?.extend();
    expect(lock?.state).toBe('held');
    expect(await lock?.release()).toBe(true);
    // Such an item does not tell which request has made it, so the first one may still be on its way.
    expect(await site.value(STORED)).toBe('');
  });

  test('what was given up is taken back', async ({ site }) => {
    const locker = site.locker({ compat, storeTimeout: 200 });
    await locker.withLock('warm', { owner: 'node-1' }, () => {});
    site.proxy.delayReplies(500);
    const attempt = locker.tryLock('job', { owner: 'node-1' });
    await expect(attempt).rejects.toBeInstanceOf(LockStoreError);
    site.proxy.heal();
    await until('it is free', async () => new GoClient(site, 'go-1').lock(), 20_000);
  });

  test('a lock kept for a while is busy for both sides', async ({ site }) => {
    const locker = site.locker({ compat });
    await locker.withLock('job', { owner: 'node-1', holdAtLeast: 2_000 }, () => {});
    expect(await new GoClient(site, 'go-1').lock()).toBe(false);
    expect(await locker.tryLock('job', { owner: 'node-1' })).toBeNull();
    expect(await locker.tryLock('job', { owner: 'node-2' })).toBeNull();
    await until('it is free', async () => new GoClient(site, 'go-1').lock());
  });

  test('operators see the owner, and may release', async ({ site }) => {
    const locker = site.locker({ compat });
    expect(await locker.inspect('job')).toBeNull();
    await new GoClient(site, 'go-1').lock();
    expect(await locker.inspect('job')).toMatchObject({ owner: 'go-1', label: '' });
    expect(await locker.forceRelease('job')).toBe(true);
    expect(await new GoClient(site, 'go-2').lock()).toBe(true);
  });

  test('an acquisition needs an owner', async ({ site }) => {
    const locker = site.locker({ compat });
    await expect(locker.tryLock('job')).rejects.toBeInstanceOf(LockArgumentError);
    await expect(locker.lock(['a', 'b'])).rejects.toBeInstanceOf(LockArgumentError);
    for (const owner of ['', '\ud800', 'holdfast-kept:x']) {
      await expect(locker.tryLock('job', { owner })).rejects.toBeInstanceOf(LockArgumentError);
    }
    expect(site.proxy.requests).toBe(0);
  });

  test('keys are those that memcached takes', async ({ site }) => {
    const locker = site.locker({ compat });
    const bad = ['a b', 'a\nb', 'a\tb', '\u0000', '\u007F', '\u0085', 'k'.repeat(243), '\ud800'];
    for (const key of [...bad, 'ä'.repeat(122)]) {
      const attempt = locker.tryLock(key, { owner: 'node-1' });
      await expect(attempt).rejects.toMatchObject({ code: 'LOCK_INVALID_ARGUMENT', key });
      await expect(locker.inspect(key)).rejects.toBeInstanceOf(LockArgumentError);
    }
    expect(site.proxy.requests).toBe(0);
    for (const key of ['k'.repeat(242), 'ä'.repeat(121), '{"a":1}', 'job/7']) {
      const lock = await locker.tryLock(key, { owner: 'node-1' });
      expect(await site.value(`memlock:${key}`)).toBe('node-1');
      expect(await lock?.release()).toBe(true);
    }
  });
});
