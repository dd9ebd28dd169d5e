import { LockStoreError, type Locker, type LockerOptions } from '@holdfast/core';
import { Client } from 'memjs';
import { describe, expect } from 'vitest';
import type { MemcachedStoreOptions } from '../src/index.ts';
import { Gate } from './kit/gate.ts';
import { test, until, type Site } from './kit/site.ts';

/** A locker whose connections go through a gate. */
async function behindGate(
  site: Site,
  options: LockerOptions & MemcachedStoreOptions = {},
): Promise<{ gate: Gate; locker: Locker }> {
  const gate = await Gate.open(site.server);
  site.onEnd(() => gate.end());
  const locker = site.locker(options, Client.create(gate.address));
  return { gate, locker };
}

/** A lock that was asked for anew, and a request for it that has yet to arrive. */
async function secondTry(site: Site) {
  const { gate, locker } = await behindGate(site);
  await locker.withLock('first', () => {});
  const [passage] = gate.passages;
  gate.passage.shut = true;
  const attempt = locker.tryLock('key');
  await until('it was sent', () => passage?.heldBytes !== 0);
  passage?.cut();
  return { passage, lock: await attempt };
}

describe.concurrent('a request that the server gets late', () => {
  test('leaves no lock behind, though its connection broke long ago', async ({ site }) => {
    const { gate, locker } = await behindGate(site);
    await locker.withLock('first', () => {});
    gate.passage.shut = true;
    const attempt = locker.tryLock('key');
    await until('it was sent', () => gate.passage.heldBytes > 0);
    gate.closed = true;
    gate.passage.cut();
    // It went out and was not answered, and there is nobody to ask what became of it.
    await expect(attempt).rejects.toBeInstanceOf(LockStoreError);
    gate.closed = false;
    // What was given up in the background: nothing of it may be left for the late request.
    await until('it was taken back', async () => (await site.value('holdfast:key')) !== undefined);
    expect(await site.value('holdfast:key')).toBe('');
    gate.passages[0]?.deliver();
    await site.ask('version');
    expect(await site.value('holdfast:key')).toBe('');
    const other = site.locker();
    const lock = await other.tryLock('key');
    expect(lock?.state).toBe('held');
    expect(await locker.tryLock('key')).toBeNull();
    expect(await lock?.release()).toBe(true);
    expect(await site.value('holdfast:key')).toBeUndefined();
  });

  test('finds its lock taken by its own second try', async ({ site }) => {
    const { passage, lock } = await secondTry(site);
    const before = await site.value('holdfast:key');
    passage?.deliver();
    await site.ask('version');
    expect(await site.value('holdfast:key')).toBe(before);
    expect(await lock?.release()).toBe(true);
  });

  test('on a connection that fell silent is settled, and a new one serves meanwhile', async ({
    site,
  }) => {
    const { gate, locker } = await behindGate(site);
    await locker.withLock('first', () => {});
    const [passage] = gate.passages;
    gate.passage.shut = true;
    const lock = await locker.lock('key', { wait: 20_000 });
    expect(gate.passages).toHaveLength(2);
    await locker.withLock('other', () => {});
    // The late request recognises the lock, and the locker is not impressed.
    passage?.deliver();
    await locker.withLock('other', () => {});
    await lock.extend();
    expect(lock.state).toBe('held');
    expect(await site.locker().tryLock('key')).toBeNull();
    // The late request may end it, or take what was released, for as long as it takes to settle that.
    await lock.release();
    const next = await site.locker().lock('key', { wait: 20_000 });
    expect(await next.release()).toBe(true);
    expect(gate.passages).toHaveLength(2);
  });

  test('leaves no lock behind when its second try was released before', async ({ site }) => {
    const { passage, lock } = await secondTry(site);
    expect(await lock?.release()).toBe(true);
    passage?.deliver();
    await site.ask('version');
    expect(await site.value('holdfast:key')).toBe('');
    const next = await site.locker().tryLock('key');
    expect(await next?.release()).toBe(true);
  });

  test('on a connection that fell silent is taken back when nobody wants it any more', async ({
    site,
  }) => {
    const { gate, locker } = await behindGate(site);
    await locker.withLock('first', () => {});
    const [passage] = gate.passages;
    gate.passage.shut = true;
    await expect(locker.tryLock('key')).rejects.toBeInstanceOf(LockStoreError);
    expect(await site.value('holdfast:key')).toBeUndefined();
    passage?.deliver();
    const other = site.locker();
    const lock = await other.lock('key', { wait: 20_000 });
    expect(await lock.release()).toBe(true);
  });
});

describe.concurrent('a reply that is lost on the way', () => {
  test('does not shift those behind it', async ({ site }) => {
    const { gate, locker } = await behindGate(site, { storeTimeout: 600 });
    await locker.withLock('first', () => {});
    gate.passage.mute = true;
    await expect(locker.tryLock('a')).rejects.toBeInstanceOf(LockStoreError);
    gate.passage.mute = false;
    const lock = await locker.tryLock('b');
    expect((await locker.inspect('b'))?.fencingToken).toBe(lock?.fencingToken);
    expect(await lock?.release()).toBe(true);
    await until('what was given up is free', async () => {
      return (await site.value('holdfast:a')) === undefined;
    });
  });

  test('leaves no lock behind, whether or not items tell acquisitions apart', async ({ site }) => {
    for (const compat of [undefined, 'memlock'] as const) {
      const { gate, locker } = await behindGate(site, { compat, storeTimeout: 300, ttl: 60_000 });
      await locker.withLock('first', { owner: 'one' }, () => {});
      gate.passage.mute = true;
      const attempt = locker.tryLock('key', { owner: 'one' });
      await expect(attempt).rejects.toBeInstanceOf(LockStoreError);
      const other = site.locker({ compat });
      const lock = await other.lock('key', { owner: 'two', wait: 30_000 });
      expect(await lock.release()).toBe(true);
    }
  });
});

describe.concurrent('a server that never answered', () => {
  test('gets no flood of connections', async ({ site }) => {
    const { gate, locker } = await behindGate(site);
    gate.shut = true;
    await expect(locker.lock('key', { wait: 4_000 })).rejects.toBeInstanceOf(LockStoreError);
    expect(gate.passages).toHaveLength(1);
  });
});
