import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  reportBypass,
  reportWarning,
  type Locker,
  type LockEvents,
  type StoreEvent,
} from '../src/index.ts';
import { bench, hear, settled, type Bench } from './kit.ts';

/** What makes each event happen. */
const triggers: Record<keyof LockEvents, (bench: Bench, one: Locker) => Promise<void>> = {
  acquired: async (_, one) => void (await one.lock('k')),
  waiting: async ({ locker, clock }, one) => {
    await locker().lock('k');
    void one.lock('k', { wait: 50 }).catch(() => {});
    await clock.advance(10);
  },
  'not-acquired': async ({ locker }, one) => {
    await locker().lock('k');
    await one.tryLock('k');
  },
  renewed: async ({ clock }, one) => {
    await one.lock('k', { ttl: 300 });
    await clock.advance(100);
  },
  lost: async ({ locker }, one) => {
    await one.lock('k');
    await locker().forceRelease('k');
  },
  released: async (_, one) => void (await (await one.lock('k')).release()),
  handoff: async (_, one) => {
    const lock = await one.lock('k');
    void one.lock('k');
    await lock.release();
  },
  bypassed: async (_, one) => reportBypass(one, { key: 'k', keys: ['k'], error: new Error('x') }),
  'store-error': async ({ faults }, one) => {
    faults.fail();
    await one.tryLock('k').catch(() => {});
  },
  warning: async ({ tell }, one) => {
    await (await one.lock('k')).release();
    tell({ type: 'warning', code: 'HOLDFAST_TEST', message: 'Look.' });
  },
};

const names = Object.keys(triggers) as (keyof LockEvents)[];

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Warnings of the process, without printing them; but for those of handles that earlier tests have dropped. */
function warnings(): unknown[][] {
  const told: unknown[][] = [];
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation((...args: unknown[]) => {
    const { code } = args[1] as { code?: string };
    if (code !== 'HOLDFAST_HANDLE_DROPPED') told.push(args);
  });
  closers.push(() => spy.mockRestore());
  return told;
}

describe.each(names)('the event %s', (event) => {
  test('reaches listeners and its diagnostics channel, with the same payload', async () => {
    warnings();
    const world = bench();
    const one = world.locker({ name: 'orders', label: 'me' });
    const heard: LockEvents[typeof event][] = [];
    const published: unknown[] = [];
    const note = (message: unknown): void => void published.push(message);
    subscribe(`holdfast:${event}`, note);
    closers.push(() => unsubscribe(`holdfast:${event}`, note));
    one.on(event, (payload) => heard.push(payload));
    await triggers[event](world, one);
    await settled();
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({ locker: 'orders', store: 'memory' });
    expect(published).toContain(heard[0]);
    if (event === 'warning') return;
    expect(heard[0]).toMatchObject({ key: 'k' });
    const label = event === 'bypassed' || event === 'store-error' ? {} : { label: 'me' };
    expect(heard[0]).toMatchObject({ keys: ['k'], ...label });
  });

  test('may be listened to in vain: what a listener throws goes nowhere near the lock', async () => {
    const told = warnings();
    const world = bench();
    const one = world.locker();
    const calls: string[] = [];
    one.on(event, () => {
      calls.push('throws');
      throw new Error('broken listener');
    });
    one.on(event, (): unknown => {
      calls.push('rejects');
      return Promise.reject(new Error('broken listener'));
    });
    one.on(event, () => void calls.push('last'));
    await triggers[event](world, one);
    await settled();
    // The failure of a listener to warnings is a warning as well.
    expect([...new Set(calls)]).toEqual(['throws', 'rejects', 'last']);
    expect(told.length).toBeGreaterThan(0);
    expect((await one.tryLock('another'))?.state).toBe('held');
  });

  test('is told to a listener once that listens anew each time it is called', async () => {
    warnings();
    const world = bench();
    const one = world.locker();
    one.on(event, () => {});
    let calls = 0;
    const listen = (): void => {
      const off = one.on(event, () => {
        off();
        calls += 1;
        if (calls < 1_000) listen();
      });
    };
    listen();
    await triggers[event](world, one);
    await settled();
    expect(calls).toBe(1);
  });

  test('is not told to a listener that another one has removed', async () => {
    warnings();
    const world = bench();
    const one = world.locker();
    const calls: string[] = [];
    one.on(event, () => {
      calls.push('first');
      off();
    });
    const off = one.on(event, () => void calls.push('removed'));
    await triggers[event](world, one);
    await settled();
    expect(calls).toEqual(['first']);
  });

  test('is followed by others when a listener throws what has no text', async () => {
    const told = warnings();
    const world = bench();
    const one = world.locker();
    let later = 0;
    one.on(event, () => {
      throw Object.create(null);
    });
    one.on('not-acquired', () => (later += 1));
    await triggers[event](world, one);
    await settled();
    const before = later;
    await one.tryWithLock('another', async () => {
      await one.tryLock('another');
      await settled();
    });
    expect(later).toBe(before + 1);
    expect(JSON.stringify(told)).toContain('HOLDFAST_LISTENER_FAILED');
  });

  test('stops calling a listener that was removed', async () => {
    warnings();
    const world = bench();
    const one = world.locker();
    const calls: string[] = [];
    const listener = (): void => void calls.push('twice');
    const off = one.on(event, listener);
    one.on(event, listener);
    const never = one.on(event, () => void calls.push('never'));
    never();
    never();
    off();
    await triggers[event](world, one);
    await settled();
    expect(calls).toEqual(['twice']);
  });
});

describe('warnings', () => {
  test('go through the process too, once per code and locker', async () => {
    const told = warnings();
    const { locker, tell } = bench();
    const lockers = [locker({ name: 'a' }), locker({ name: 'b' })];
    const heard = lockers.map((one) => hear(one, 'warning'));
    for (const one of lockers) await (await one.lock('k')).release();
    const warn = (code: string): void =>
      tell({ type: 'warning', code, message: `Look: ${code}.` } satisfies StoreEvent);
    warn('HOLDFAST_ONE');
    warn('HOLDFAST_ONE');
    warn('HOLDFAST_TWO');
    expect(told).toEqual(
      ['HOLDFAST_ONE', 'HOLDFAST_ONE', 'HOLDFAST_TWO', 'HOLDFAST_TWO'].map((code) => [
        `Look: ${code}.`,
        { type: 'HoldfastWarning', code },
      ]),
    );
    expect(heard).toMatchObject(
      ['a', 'b'].map((locker_) => [
        { locker: locker_, store: 'memory', code: 'HOLDFAST_ONE', message: 'Look: HOLDFAST_ONE.' },
        { locker: locker_, code: 'HOLDFAST_TWO' },
      ]),
    );
  });

  test('reach the process when the listener to warnings itself throws', async () => {
    const told = warnings();
    const { locker, tell } = bench();
    const one = locker();
    one.on('warning', () => {
      throw new Error('broken listener');
    });
    await (await one.lock('k')).release();
    tell({ type: 'warning', code: 'HOLDFAST_ONE', message: 'Look.' });
    tell({ type: 'warning', code: 'HOLDFAST_TWO', message: 'Look.' });
    expect(told.length).toBe(3);
  });
});

describe('onLost', () => {
  test('may throw or reject without harm', async () => {
    const told = warnings();
    const { locker } = bench();
    const one = locker();
    await one.lock('a', {
      onLost: () => {
        throw new Error('broken');
      },
    });
    await one.lock('b', { onLost: (): unknown => Promise.reject(new Error('x')) });
    expect(await one.forceRelease('a')).toBe(true);
    expect(await one.forceRelease('b')).toBe(true);
    await settled();
    expect(told).toHaveLength(1);
    expect((await one.tryLock(['a', 'b']))?.state).toBe('held');
  });
});

test('adapters warn once per code and locker, as an event and as a warning of the process', async () => {
  const told = warnings();
  const { locker } = bench();
  const one = locker();
  const heard: unknown[] = [];
  one.on('warning', ({ code, message }) => heard.push([code, message]));
  for (const code of ['HOLDFAST_A', 'HOLDFAST_A', 'HOLDFAST_B']) reportWarning(one, code, 'Look.');
  reportWarning(locker(), 'HOLDFAST_A', 'Look.');
  await settled();
  expect(heard).toEqual([
    ['HOLDFAST_A', 'Look.'],
    ['HOLDFAST_B', 'Look.'],
  ]);
  expect(told).toHaveLength(3);
});

test('an event may lead to another call of the locker', async () => {
  const { locker } = bench();
  const one = locker();
  const chain: string[] = [];
  one.on('released', ({ key }) => {
    chain.push(`released ${key}`);
    if (key === 'k') void one.withLock('next', () => void chain.push('next'));
  });
  await one.withLock('k', () => {});
  await settled();
  expect(chain).toEqual(['released k', 'next', 'released next']);
});
