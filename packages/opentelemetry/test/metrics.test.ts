import { reportBypass } from '@holdfast/core';
import { metrics } from '@opentelemetry/api';
import { channel } from 'node:diagnostics_channel';
import { describe, expect, test } from 'vitest';
import { instrumentLockers } from '../src/index.ts';
import { atEnd, bench, sdk, useContextManager } from './kit.ts';

useContextManager();

describe('durations', () => {
  test('the wait of an acquisition is recorded in seconds, with its outcome', async () => {
    const { locker, clock, measured } = bench();
    const holder = await locker().lock('k');
    const waiting = locker().lock('k');
    const late = locker().lock('k', { wait: 500 });
    late.catch(() => {});
    const caller = new AbortController();
    const gone = locker().lock('k', { signal: caller.signal });
    gone.catch(() => {});
    await clock.advance(1_500);
    caller.abort();
    await holder.release();
    await clock.advance(1);
    await waiting;
    await Promise.allSettled([late, gone]);
    const wait = (outcome: string) => measured.histogram('wait.duration', { outcome });
    expect((await wait('acquired')).count).toBe(2);
    expect((await wait('acquired')).sum).toBeCloseTo(1.5);
    expect(await wait('not_acquired')).toEqual({ count: 2, sum: 2 });
    expect(await measured.value('not_acquired', { reason: 'busy' })).toBe(1);
    expect(await measured.value('not_acquired', { reason: 'aborted' })).toBe(1);
  });

  test('a hold is recorded in seconds, whether it was released or lost', async () => {
    const { locker, clock, measured } = bench();
    const lock = await locker().lock('a');
    await locker().lock('b', { maxHold: 2_000 });
    await clock.advance(3_000);
    await lock.release();
    const hold = (outcome: string) => measured.histogram('hold.duration', { outcome });
    expect(await hold('released')).toEqual({ count: 1, sum: 3 });
    expect(await hold('lost')).toEqual({ count: 1, sum: 2 });
  });

  test('a renewal that comes late leaves little headroom', async () => {
    const { locker, clock, faults, measured } = bench();
    await locker({ ttl: 9_000 }).lock('k');
    await clock.advance(3_000);
    // A lease of 9 s counts as lost 900 ms before its end.
    expect(await measured.histogram('renewal.headroom')).toEqual({ count: 1, sum: 5.1 });
    faults.fail({ verb: 'renew', times: 3 });
    await clock.advance(5_000);
    const { count, sum } = await measured.histogram('renewal.headroom');
    expect(count).toBe(2);
    expect(sum - 5.1).toBeLessThan(5.1 - 1);
  });
});

describe('counters', () => {
  test('an acquisition counts as acquired, or as not acquired because the lock is busy', async () => {
    const { locker, measured } = bench();
    const one = locker();
    await one.lock('k');
    await one.lock('l');
    await one.tryLock('k');
    expect(await measured.value('acquired')).toBe(2);
    expect(await measured.value('not_acquired', { reason: 'busy' })).toBe(1);
  });

  test('a refusal counts with the reason that it gives', async () => {
    const { measured } = bench();
    const about = { locker: 'orders', store: 'memory', key: 'k', keys: ['k'], label: 'l' };
    channel('holdfast:not-acquired').publish({ ...about, waited: 0, reason: 'queue-full' });
    expect(await measured.value('not_acquired', { reason: 'queue-full' })).toBe(1);
  });

  test.each([
    ['forced', (b: ReturnType<typeof bench>) => b.locker().forceRelease('k')],
    ['superseded', (b: ReturnType<typeof bench>) => b.locker().lock('k', { owner: 'me' })],
    ['max-hold', (b: ReturnType<typeof bench>) => b.clock.advance(60_000)],
  ])('a loss counts with its reason (%s)', async (reason, lose) => {
    const made = bench();
    await made.locker().lock('k', { owner: 'me', maxHold: 30_000 });
    await lose(made);
    await made.clock.advance(10);
    expect(await made.measured.value('lost', { reason })).toBe(1);
    expect(await made.measured.value('lost')).toBe(1);
  });

  test('passing a lock on within the process counts as a hand-off', async () => {
    const { locker, clock, measured } = bench();
    const one = locker();
    const first = await one.lock('k');
    const second = one.lock('k');
    await clock.advance(1);
    await first.release();
    await second;
    expect(await measured.value('handoffs')).toBe(1);
  });

  test('a failure of the store counts with its phase', async () => {
    const { locker, faults, measured } = bench();
    faults.fail({ verb: 'acquire' });
    await locker()
      .tryLock('k')
      .catch(() => {});
    expect(await measured.value('store_errors', { phase: 'acquire' })).toBe(1);
  });

  test('work that an adapter let run without its lock counts as bypassed', async () => {
    const { locker, measured } = bench();
    reportBypass(locker(), { key: 'k' });
    expect(await measured.value('bypassed', { locker: 'orders' })).toBe(1);
  });
});

describe('gauges', () => {
  test('who holds and who waits is counted, and all is zero when everybody has left', async () => {
    const { locker, clock, faults, measured } = bench();
    const one = locker();
    const two = locker();
    const caller = new AbortController();
    const first = await one.lock('k');
    const several = await one.lock(['x', 'y']);
    const waits = [
      one.lock('k'),
      two.lock('k'),
      two.lock('k', { wait: 100 }),
      two.lock('k', { signal: caller.signal }),
      one.lock(['z', 'x'], { signal: caller.signal }),
    ];
    for (const wait of waits) wait.catch(() => {});
    await clock.advance(50);
    expect(await measured.value('held')).toBe(2);
    expect(await measured.value('waiting')).toBe(5);
    await clock.advance(60);
    expect(await measured.value('waiting')).toBe(4);
    caller.abort();
    await clock.advance(0);
    expect(await measured.value('waiting')).toBe(2);
    await several.release();
    await first.release();
    await clock.advance(600);
    await Promise.race(waits);
    expect(await measured.value('held')).toBe(1);
    expect(await measured.value('waiting')).toBe(1);
    const closing = Promise.all([one.close(), two.close()]);
    await clock.advance(2_000);
    await closing;
    expect(await measured.value('held')).toBe(0);
    expect(await measured.value('waiting')).toBe(0);
    const three = locker();
    const last = await three.lock('k', { renew: false });
    faults.fail({ times: Infinity });
    const failing = locker().lock('k', { wait: 20_000 });
    failing.catch(() => {});
    await clock.advance(60_000);
    expect(last.state).toBe('lost');
    expect(await measured.value('held')).toBe(0);
    expect(await measured.value('waiting')).toBe(0);
  });

  test('hand-overs do not put the numbers wrong', async () => {
    const { locker, clock, measured } = bench();
    const one = locker();
    const runs = Array.from({ length: 50 }, () => one.withLock('k', () => clock.now()));
    await clock.advance(1_000);
    await Promise.all(runs);
    expect(await measured.value('acquired')).toBe(50);
    expect(await measured.value('held')).toBe(0);
    expect(await measured.value('waiting')).toBe(0);
  });

  test('a lock that was held before is not missing when it is released', async () => {
    const early = bench({ metrics: false, traces: false });
    const lock = await early.locker().lock('k');
    const waiting = early.locker().lock('k', { wait: 50 });
    waiting.catch(() => {});
    await early.clock.advance(10);
    const { meterProvider, tracerProvider, measured } = sdk();
    atEnd(instrumentLockers({ meterProvider, tracerProvider }));
    await early.clock.advance(100);
    await lock.release();
    await early.locker().lock('other');
    expect(await measured.value('held')).toBe(1);
    expect(await measured.value('waiting')).not.toBe(-1);
  });
});

describe('attributes', () => {
  test('no metric has a key, and each has the names of its locker and store', async () => {
    const { locker, measured } = bench();
    await (await locker().lock('customer:4711')).release();
    for (const name of ['acquired', 'wait.duration', 'hold.duration', 'held']) {
      const [attributes] = await measured.attributes(name);
      expect(attributes).toMatchObject({ locker: 'orders', store: 'memory' });
      expect(JSON.stringify(attributes)).not.toContain('4711');
    }
  });

  test('keyAttribute gives the class of a key, or none', async () => {
    const { locker, measured } = bench({
      keyAttribute: (key) => (key.startsWith('order:') ? 'order:*' : undefined),
    });
    await locker().lock('order:1');
    await locker().lock('order:2');
    await locker().lock('other');
    expect(await measured.value('acquired', { key: 'order:*' })).toBe(2);
    expect(await measured.value('held', { key: 'order:*' })).toBe(2);
    expect(await measured.value('acquired', { key: undefined })).toBe(1);
  });

  test('a keyAttribute that throws reaches neither the lock nor the process, and all is counted', async () => {
    const { locker, measured } = bench({
      keyAttribute: () => {
        throw new Error('oops');
      },
    });
    const thrown: unknown[] = [];
    const listener = (error: unknown): void => void thrown.push(error);
    process.on('uncaughtException', listener);
    atEnd(() => process.off('uncaughtException', listener));
    expect(await (await locker().lock('k')).release()).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(thrown).toEqual([]);
    await locker().lock('held');
    expect(await measured.value('acquired', { key: undefined })).toBe(2);
    expect(await measured.value('held', { key: undefined })).toBe(1);
  });
});

describe('setting up', () => {
  test('a global SDK that is registered after the call is used all the same', async () => {
    const { locker } = bench({ metrics: false, traces: false });
    atEnd(instrumentLockers());
    await locker().lock('early');
    const { meterProvider, measured } = sdk();
    metrics.setGlobalMeterProvider(meterProvider);
    await locker().lock('late');
    expect(await measured.value('acquired')).toBe(1);
    expect(await measured.value('held')).toBe(2);
  });

  test('a second call for the same SDK does not count twice', async () => {
    const { locker, meterProvider, tracerProvider, measured } = bench();
    atEnd(instrumentLockers({ meterProvider, tracerProvider }));
    await locker().lock('k');
    expect(await measured.value('acquired')).toBe(1);
  });

  test('what it returns ends it, after which it can begin again', async () => {
    const { locker } = bench({ metrics: false, traces: false });
    const { meterProvider, tracerProvider, measured } = sdk();
    const end = instrumentLockers({ meterProvider, tracerProvider });
    await locker().lock('a');
    end();
    await locker().lock('b');
    expect(await measured.value('acquired')).toBe(1);
    atEnd(instrumentLockers({ meterProvider, tracerProvider }));
    await locker().lock('c');
    expect(await measured.value('acquired')).toBe(2);
  });

  test.each([[{ keyAttribute: 'order' }], [null]])(
    'options that are none are refused',
    (options) => {
      expect(() => instrumentLockers(options as never)).toThrow(TypeError);
    },
  );
});
