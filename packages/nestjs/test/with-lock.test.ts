import { once } from 'node:events';
import { LockArgumentError, memoryStore, type Locker } from '@holdfast/core';
import { assertLocked, currentLock, LockModule, WithLock } from '@holdfast/nestjs';
import { faultyStore, virtualClock } from '@holdfast/testing';
import { Injectable, NotFoundException } from '@nestjs/common';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { aLocker, aMoment, compile, isFree, until, Work } from './kit/index.ts';

let locker: Locker;
let work: Work;

beforeEach(() => {
  locker = aLocker();
  work = new Work();
});

@Injectable()
class Orders {
  @WithLock((id: string) => `order:${id}`)
  async pay(id: string, as = id): Promise<string> {
    return work.run(as);
  }

  @WithLock((id: string) => `order:${id}`, { wait: 0 })
  async payNow(id: string): Promise<string> {
    return work.run(id);
  }

  @WithLock('constant')
  async constant(): Promise<unknown> {
    return { keys: currentLock()?.keys, held: currentLock()?.state };
  }

  @WithLock(['a', 'b'])
  async several(): Promise<unknown> {
    return currentLock()?.keys;
  }

  @WithLock(async (id: string) => [`order:${id}`, 'all'])
  async asynchronous(_id: string): Promise<unknown> {
    return currentLock()?.keys;
  }

  @WithLock((id: string | null) => id)
  async perhaps(_id: string | null): Promise<unknown> {
    return currentLock()?.key ?? 'none';
  }

  @WithLock((id: unknown) => id as string)
  async anything(_id: unknown): Promise<string> {
    return work.run('ran');
  }

  @WithLock(function (this: Orders) {
    return this.prefix;
  })
  async ownKey(): Promise<unknown> {
    return currentLock()?.key;
  }

  @WithLock('fails')
  async fails(error: unknown): Promise<never> {
    throw error;
  }

  @WithLock('plain')
  plain(): Promise<string> {
    return work.run('plain');
  }

  @WithLock('lost', { maxHold: 50 })
  async long(): Promise<unknown> {
    const { signal } = assertLocked('lost');
    if (!signal.aborted) await once(signal, 'abort');
    return signal.reason;
  }

  @WithLock('least', { holdAtLeast: 300 })
  async brief(): Promise<void> {}

  prefix = 'own';
}

const orders = async (): Promise<Orders> =>
  (await compile(locker, { providers: [Orders] })).get(Orders);

describe('a method with a lock', () => {
  test('a method runs one call after the other for one key, and other keys beside', async () => {
    const service = await orders();
    const calls = [service.pay('1', 'a'), service.pay('1', 'b'), service.pay('2', 'c')];
    await until(() => work.begun.length === 2);
    await aMoment();
    expect(work.begun).toEqual(['a', 'c']);
    work.end('a');
    work.end('c');
    await until(() => work.begun.includes('b'));
    expect(work.ended).toContain('a');
    work.end('b');
    await expect(Promise.all(calls)).resolves.toEqual(['a', 'b', 'c']);
  });

  test('two calls of 600 ms never run at once with default options', async () => {
    const service = await orders();
    const calls = [service.pay('1', 'a'), service.pay('1', 'b')];
    setTimeout(() => work.end('a'), 600);
    setTimeout(() => work.end('b'), 600);
    await Promise.all(calls);
    expect(work.most).toBe(1);
  });

  test('a lock is held while its method runs, and free when that is done', async () => {
    const service = await orders();
    const paid = service.pay('1');
    await until(() => work.begun.length === 1);
    await expect(isFree(locker, 'order:1')).resolves.toBe(false);
    work.end('1');
    await paid;
    await expect(isFree(locker, 'order:1')).resolves.toBe(true);
  });

  test('a method may be a plain function that returns a promise', async () => {
    const service = await orders();
    const first = service.plain();
    expect(first).toBeInstanceOf(Promise);
    const second = service.plain();
    await until(() => work.begun.length === 1);
    await aMoment();
    expect(work.begun).toHaveLength(1);
    work.end('plain');
    await expect(Promise.all([first, second])).resolves.toEqual(['plain', 'plain']);
  });

  test('a method runs also if nobody waits for its promise', async () => {
    const service = await orders();
    void service.plain();
    await until(() => work.begun.length === 1);
    work.end('plain');
    await until(() => isFree(locker, 'plain'));
  });

  test('a method is told when its lock is lost, and its result still counts', async () => {
    const service = await orders();
    await expect(service.long()).resolves.toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
  });

  test('a lock is kept for at least as long as `holdAtLeast`', async () => {
    const service = await orders();
    const began = performance.now();
    await service.brief();
    await expect(isFree(locker, 'least')).resolves.toBe(false);
    await service.brief();
    expect(performance.now() - began).toBeGreaterThanOrEqual(295);
  });

  test.each([
    { wait: undefined, waits: 10_000 },
    { wait: 3_000, waits: 3_000 },
  ])('a method waits for $waits ms if the module says $wait', async ({ wait, waits }) => {
    const clock = virtualClock();
    const store = memoryStore({ clock });
    const other = await aLocker({ store, clock }).lock('order:1');
    const module = await compile(null, {
      imports: [LockModule.forRoot({ store, clock, wait, shutdownTimeout: 0 })],
      providers: [Orders],
    });
    const paid = module.get(Orders).pay('1');
    let error: unknown;
    paid.catch((reason: unknown) => (error = reason));
    await clock.advance(waits - 1);
    expect(error).toBeUndefined();
    await clock.advance(2);
    await until(() => error !== undefined);
    expect(error).toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
    await other.release();
  });
});

describe('its key', () => {
  test.each([
    {
      what: 'a constant',
      run: (s: Orders) => s.constant(),
      is: { keys: ['constant'], held: 'held' },
    },
    { what: 'several', run: (s: Orders) => s.several(), is: ['a', 'b'] },
    { what: 'an async function', run: (s: Orders) => s.asynchronous('7'), is: ['order:7', 'all'] },
    { what: 'a function of the instance', run: (s: Orders) => s.ownKey(), is: 'own' },
    { what: 'null: no lock', run: (s: Orders) => s.perhaps(null), is: 'none' },
  ])('a key can be $what', async ({ run, is }) => {
    await expect(run(await orders())).resolves.toEqual(is);
  });

  test.each([
    { key: undefined },
    { key: '' },
    { key: 7 },
    { key: [] },
    { key: ['a', ''] },
    { key: {} },
  ])('a key must not be $key', async ({ key }) => {
    const service = await orders();
    await expect(service.anything(key)).rejects.toBeInstanceOf(LockArgumentError);
    expect(work.begun).toEqual([]);
  });

  test('a key that is null is told as an event', async () => {
    const service = await orders();
    const bypassed = vi.fn<() => void>();
    locker.on('bypassed', bypassed);
    await service.perhaps(null);
    expect(bypassed).toHaveBeenCalledOnce();
  });
});

describe('errors', () => {
  test('an error of the method comes as the same object, and the lock is free at once', async () => {
    const service = await orders();
    const error = new NotFoundException('no such order');
    await expect(service.fails(error)).rejects.toBe(error);
    await expect(isFree(locker, 'fails')).resolves.toBe(true);
  });

  test('an error of the method is not masked by a release that fails', async () => {
    const store = faultyStore(memoryStore());
    locker = aLocker({ store });
    const service = await orders();
    store.fail({ verb: 'release' });
    const error = new NotFoundException();
    await expect(service.fails(error)).rejects.toBe(error);
  });

  test('a busy lock is an error after `wait`', async () => {
    const service = await orders();
    const other = await locker.lock('order:1');
    await expect(service.payNow('1')).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
      key: 'order:1',
      status: 423,
    });
    expect(work.begun).toEqual([]);
    await other.release();
  });
});
