import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  createLocker,
  LockerClosedError,
  memoryStore,
  type Lock,
  type LockOptions,
} from '../src/index.ts';
import { bench, hear, rejection, settled, variant, watch } from './kit.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

/** Both stores give the same order; the second one answers by promises, as servers do. */
const stores = {
  embedded: () => bench(),
  remote: () =>
    bench((store) =>
      variant(store, {
        acquire: async (request) => store.acquire(request),
        release: async (request) => store.release(request),
      }),
    ),
};

for (const [name, make] of Object.entries(stores)) {
  describe(`on a store that is ${name}`, () => {
    test('the callback of withLock runs after the call has returned', async () => {
      const one = make().locker();
      const order: string[] = [];
      const done = one.withLock('k', () => order.push('callback'));
      order.push('returned');
      await done;
      const tried = one.tryWithLock('k', () => order.push('callback'));
      order.push('returned');
      await tried;
      expect(order).toEqual(['returned', 'callback', 'returned', 'callback']);
    });

    test.each([{ key: 'k' }, { key: ['k', 'l'] }])(
      'an abort before the caller has its lock leaves it free, whatever `holdAtLeast` says: $key',
      async ({ key }) => {
        const { locker, free } = make();
        const one = locker();
        const ways = {
          lock: (options: LockOptions) => one.lock(key, options),
          tryLock: (options: LockOptions) => one.tryLock(key, options),
          withLock: (options: LockOptions) => one.withLock(key, options, () => 'ran'),
          tryWithLock: (options: LockOptions) => one.tryWithLock(key, options, () => 'ran'),
        };
        for (const [way, call] of Object.entries(ways)) {
          const gone = new AbortController();
          const asked = rejection(call({ signal: gone.signal, holdAtLeast: 60_000 }));
          gone.abort(new Error(way));
          expect(await asked).toMatchObject({ message: way });
          await settled();
          expect([await free('k'), await free('l')]).toEqual([true, true]);
        }
        // In the last moment: the lock is granted, and its callback is about to run.
        const late = new AbortController();
        one.on('acquired', () => late.abort(new Error('late')));
        const options = { signal: late.signal, holdAtLeast: 60_000 };
        expect(await rejection(ways.withLock(options))).toMatchObject({ message: 'late' });
        await settled();
        expect([await free('k'), await free('l')]).toEqual([true, true]);
      },
    );

    test.each([{ key: 'k' }, { key: ['k', 'l'] }])(
      'a locker that is closed before the callback runs leaves the lock free: $key',
      async ({ key }) => {
        const { locker, free } = make();
        const ran: string[] = [];
        for (const way of ['withLock', 'tryWithLock'] as const) {
          const one = locker();
          const options = { holdAtLeast: 60_000 };
          const work = (): unknown => ran.push(way);
          const asked = rejection(
            way === 'withLock'
              ? one.withLock(key, options, work)
              : one.tryWithLock(key, options, work),
          );
          await one.close();
          expect(await asked).toMatchObject({ code: 'LOCKER_CLOSED' });
          await settled();
          expect([ran, await free('k'), await free('l')]).toEqual([[], true, true]);
        }
      },
    );

    test('events of an acquisition are told after the call has returned', async () => {
      const { locker } = make();
      const one = locker();
      const order: string[] = [];
      one.on('acquired', () => order.push('acquired'));
      one.on('not-acquired', () => order.push('not-acquired'));
      one.on('waiting', () => order.push('waiting'));
      const lock = one.lock('k');
      order.push('returned');
      await lock;
      const busy = one.tryLock('k');
      order.push('returned');
      await busy;
      watch(one.lock('k'));
      order.push('returned');
      await settled();
      expect(order.join()).toBe('returned,acquired,returned,not-acquired,returned,waiting');
    });

    test('the event of a release is told after the call has returned', async () => {
      const one = make().locker();
      const order: string[] = [];
      const lock = await one.lock('k');
      one.on('released', () => order.push('released'));
      const released = lock.release();
      order.push('returned');
      await released;
      order.push('confirmed');
      expect(order).toEqual(['returned', 'released', 'confirmed']);
    });

    test('a release is published in the async context of its call, whoever else releases', async () => {
      const one = make().locker();
      const contexts = new AsyncLocalStorage<string>();
      const seen: string[] = [];
      const subscriber = (event: unknown): void => {
        seen.push(`${(event as { key: string }).key} in ${contexts.getStore()}`);
      };
      const releases = channel('holdfast:released');
      releases.subscribe(subscriber);
      cleanups.push(() => releases.unsubscribe(subscriber));
      const locks = await Promise.all(['a', 'b'].map((key) => one.lock(key)));
      // In one turn, so that both are told together.
      await Promise.all(
        locks.map((lock) => contexts.run(`task ${lock.key}`, () => lock.release())),
      );
      expect(seen).toEqual(['a in task a', 'b in task b']);
    });

    test('an older handle of the same owner is told after the call that takes its lock over', async () => {
      const one = make().locker();
      const order: string[] = [];
      const older = await one.lock('k', { owner: 'me', onLost: () => order.push('onLost') });
      older.signal.addEventListener('abort', () => order.push('abort'));
      const newer = one.lock('k', { owner: 'me' });
      order.push('returned');
      await newer;
      order.push('granted');
      expect(order).toEqual(['returned', 'abort', 'onLost', 'granted']);
    });

    test.each(['lock', 'tryLock', 'withLock', 'tryWithLock'] as const)(
      'an abort in the turn of the call of %s rejects it and leaves no lock',
      async (verb) => {
        const { locker, clock, free } = make();
        const one = locker();
        const controller = new AbortController();
        let ran = false;
        const work = (): void => {
          ran = true;
        };
        const { signal } = controller;
        const call = verb.endsWith('ithLock')
          ? one[verb as 'withLock']('k', { signal }, work)
          : one[verb as 'lock']('k', { signal });
        const reason = new Error('changed its mind');
        controller.abort(reason);
        expect(await rejection(call)).toBe(reason);
        await clock.advance(100);
        expect([ran, await free('k')]).toEqual([false, true]);
      },
    );

    test('the callback does not run when the locker is closed in the turn of the call', async () => {
      const { locker } = make();
      const one = locker();
      let ran = false;
      const call = watch(one.withLock('k', () => (ran = true)));
      await one.close();
      await settled();
      expect(call.reason).toBeInstanceOf(LockerClosedError);
      expect(ran).toBe(false);
    });
  });
}

describe('a waiter that is aborted', () => {
  /** A second locker waits for the key that the first one holds. */
  async function aborted(start: (controller: AbortController) => void) {
    const { locker, clock, sent, free } = bench();
    const held = await locker().lock('k', { ttl: 60_000 });
    const controller = new AbortController();
    const two = locker();
    two.on('waiting', () => start(controller));
    const waiting = watch(two.lock('k', { signal: controller.signal }));
    await clock.advance(100);
    expect(waiting.state).toBe('rejected');
    return { clock, sent, free, held, two };
  }

  test('registers no waiter that a `waiting` listener aborts', async () => {
    const { clock, sent, held, free } = await aborted((controller) => controller.abort());
    const before = sent('refresh');
    await clock.advance(5_000);
    expect(sent('refresh')).toBe(before);
    await held.release();
    expect(await free('k')).toBe(true);
    expect(sent('refresh')).toBe(before);
  });

  test('registers no waiter that a subscriber of the diagnostics channel aborts', async () => {
    let controller: AbortController | undefined;
    const subscriber = (): void => controller?.abort();
    const waitingChannel = channel('holdfast:waiting');
    waitingChannel.subscribe(subscriber);
    cleanups.push(() => waitingChannel.unsubscribe(subscriber));
    const { clock, sent } = await aborted((given) => {
      controller = given;
      queueMicrotask(subscriber);
    });
    const before = sent('refresh');
    await clock.advance(5_000);
    expect(sent('refresh')).toBe(before);
  });

  test('leaves nothing behind when a `waiting` listener aborts it and the locker is closed', async () => {
    const { clock, sent, held, two } = await aborted((controller) => controller.abort());
    await two.close();
    const before = sent('refresh');
    await clock.advance(5_000);
    expect(sent('refresh')).toBe(before);
    await held.release();
    await clock.advance(60_000);
    expect(clock.timers).toBe(0);
  });

  test('gives back what it was handed when a `handoff` listener aborts it', async () => {
    const { locker, clock, free, sent } = bench();
    const one = locker();
    const held = await one.lock('k', { ttl: 60_000 });
    const controller = new AbortController();
    const waiting = watch(one.lock('k', { ttl: 60_000, signal: controller.signal }));
    await settled();
    one.on('handoff', () => controller.abort());
    await held.release();
    await clock.advance(100);
    // Handed over before it was aborted, but its caller does not have it yet.
    expect(waiting).toMatchObject({ state: 'rejected', reason: { name: 'AbortError' } });
    expect(await free('k')).toBe(true);
    await clock.advance(60_000);
    expect(sent('renew')).toBe(0);
  });

  test('leaves no grant when the abort listener of the lock that it takes over aborts it', async () => {
    // The message of the take-over is lost: the new grant itself shows it.
    const deaf = { subscribe: () => () => {} };
    const { locker, clock, free, sent } = bench((store) => variant(store, deaf));
    const one = locker();
    const controller = new AbortController();
    const older = await one.lock('a', { owner: 'me', ttl: 60_000 });
    older.signal.addEventListener('abort', () => controller.abort());
    const options = { owner: 'me', ttl: 60_000, signal: controller.signal };
    const newer = watch(one.lock(['a', 'b'], options));
    await clock.advance(100);
    if (newer.state === 'fulfilled') await (newer.value as Lock).release();
    expect([await free('a'), await free('b')]).toEqual([true, true]);
    const renewals = sent('renew');
    await clock.advance(120_000);
    expect(sent('renew')).toBe(renewals);
  });
});

describe('whatever a listener does', () => {
  type Deed = (context: {
    close: () => unknown;
    lock: () => unknown;
    release: () => unknown;
  }) => unknown;
  const deeds: Record<string, Deed> = {
    throws: () => {
      throw new Error('listener');
    },
    rejects: () => Promise.reject(new Error('listener')),
    closes: ({ close }) => close(),
    locks: ({ lock }) => lock(),
    releases: ({ release }) => release(),
  };
  const events = ['acquired', 'waiting', 'not-acquired', 'lost', 'released', 'handoff'] as const;
  for (const event of events) {
    for (const [deed, run] of Object.entries(deeds)) {
      test(`leaves nothing behind when a listener ${deed} at \`${event}\``, async () => {
        const { locker, clock, free } = bench();
        // A failing listener is a warning of its locker: not on the console of these tests.
        const quiet = vi.spyOn(process, 'emitWarning').mockReturnValue();
        cleanups.push(() => quiet.mockRestore());
        const one = locker({ ttl: 1_000 });
        const locks = new Set<Lock>();
        const take = async (options?: LockOptions): Promise<void> => {
          try {
            locks.add(await one.lock('k', { wait: 3_000, ...options }));
          } catch {
            // Busy, or closed.
          }
        };
        const release = (): void => locks.forEach((lock) => void lock.release());
        let times = 0;
        one.on(event, () => {
          times += 1;
          if (times > 3) return undefined;
          return run({ close: () => one.close(), lock: () => take(), release }) as undefined;
        });
        await take();
        void take();
        void take({ wait: 0 });
        void take({ owner: 'me' });
        await clock.advance(20);
        release();
        await clock.advance(50);
        void take({ owner: 'me', renew: false });
        void one.forceRelease('k').catch(() => {});
        await clock.advance(2_000);
        for (let round = 0; round < 5; round++) {
          release();
          await clock.advance(1_500);
        }
        expect(times).toBeGreaterThan(0);
        await one.close();
        await clock.advance(3_000);
        expect([await free('k'), clock.timers]).toEqual([true, 0]);
      });
    }
  }
});

test('listeners hear events in the order in which they happened, also when one of them acts', async () => {
  const { locker, clock } = bench();
  const one = locker();
  let held: Lock | undefined;
  one.on('acquired', () => void held?.release());
  const heard = hear(one, 'acquired', 'released');
  const lock = one.lock('k').then((taken) => (held = taken));
  await lock;
  void one.lock('j');
  await clock.advance(10);
  const told = heard.map((event) => `${event.event} ${String((event as { key?: string }).key)}`);
  expect(told).toEqual(['acquired k', 'acquired j', 'released k']);
});

test('the signal of a lock has fired when its release has been called', async () => {
  const locker = createLocker({ store: memoryStore() });
  const lock = await locker.lock('k');
  const { signal } = lock;
  void lock.release();
  expect(signal.aborted).toBe(true);
});
