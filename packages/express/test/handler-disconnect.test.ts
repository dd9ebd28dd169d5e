// `.handler(fn)` and a client that goes away: told by the signal, and held until `fn` is done.
import type { Lock } from '@holdfast/core';
import { describe, expect, test } from 'vitest';
import { POST, site, TTL } from './handler-kit.ts';
import { deferred, rawClient, until } from './kit.ts';

describe('a handler with a promise', () => {
  test('aborts the signal when its client leaves, and renews the lock until it is done', async () => {
    const inside = deferred<AbortSignal>();
    const done = deferred();
    const at = await site(async (req) => {
      inside.resolve(req.lock.signal);
      await done.promise;
    });
    const client = await rawClient(at);
    client.send(...POST);
    const signal = await inside.promise;
    client.socket.destroy();
    await until(() => signal.aborted);
    expect(signal.reason).toMatchObject({ code: 'LOCK_ABORTED', key: 'k' });
    await at.clock.advance(TTL * 5);
    expect(await at.next()).toBe(423);
    done.resolve();
    await until(at.isFree);
  });

  test('loses the lock after maxHold when its client has left', async () => {
    const inside = deferred<Lock>();
    const at = await site(
      async (req) => {
        inside.resolve(req.lock);
        await deferred().promise;
      },
      { maxHold: TTL * 2 },
    );
    const client = await rawClient(at);
    client.send(...POST);
    const lock = await inside.promise;
    client.socket.destroy();
    await until(() => lock.signal.aborted);
    await at.clock.advance(TTL * 2);
    expect(lock.state).toBe('lost');
    await at.clock.advance(TTL);
    expect(await at.next()).toBe(200);
  });

  test('hears nothing of its client with abortOnDisconnect: false', async () => {
    const inside = deferred<Lock>();
    const done = deferred();
    const at = await site(
      async (req) => {
        inside.resolve(req.lock);
        await done.promise;
      },
      { abortOnDisconnect: false },
    );
    const client = await rawClient(at);
    client.send(...POST);
    const lock = await inside.promise;
    client.socket.destroy();
    await at.clock.advance(TTL * 5);
    expect([lock.signal.aborted, lock.state]).toEqual([false, 'held']);
    done.resolve();
    await until(at.isFree);
  });
});

describe('a callback-style handler', () => {
  test('keeps others out until it ends its response, also if its client leaves', async () => {
    const inside = deferred<AbortSignal>();
    const goOn = deferred();
    const at = await site((req, res) => {
      inside.resolve(req.lock.signal);
      void goOn.promise.then(() => res.send('ok'));
    });
    const client = await rawClient(at);
    client.send(...POST);
    const signal = await inside.promise;
    client.socket.destroy();
    await until(() => signal.aborted);
    expect(signal.reason).toMatchObject({ code: 'LOCK_ABORTED' });
    expect(await at.next()).toBe(423);
    goOn.resolve();
    await until(at.isFree);
    expect(await at.next()).toBe(200);
  });

  test('holds for the ttl at most when it never ends and its client leaves', async () => {
    const inside = deferred<AbortSignal>();
    const at = await site((req) => inside.resolve(req.lock.signal));
    const client = await rawClient(at);
    client.send(...POST);
    const signal = await inside.promise;
    await at.clock.advance(TTL * 3);
    expect(await at.next()).toBe(423);
    client.socket.destroy();
    await until(() => signal.aborted);
    await at.clock.advance(TTL);
    expect(await at.next()).toBe(200);
  });
});
