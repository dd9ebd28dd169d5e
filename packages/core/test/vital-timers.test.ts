import { expect, test } from 'vitest';
import { Notices } from '../src/util/notices.ts';
import { systemClock, Time, type Clock } from '../src/util/time.ts';

/** A clock that tells which of its timers keep the process alive. */
function watchedClock(): {
  clock: Clock;
  alive: () => number[];
  fire: (index: number) => void;
} {
  const timers: { callback: () => void; state: 'ref' | 'unref' | 'over' }[] = [];
  const clock: Clock = {
    ...systemClock,
    setTimeout: (callback) => {
      const timer = { callback, state: 'ref' as const };
      timers.push(timer);
      return Object.assign(timer, {
        unref: () => {
          Object.assign(timer, { state: 'unref' });
        },
      });
    },
    clearTimeout: (timer) => {
      Object.assign(timer, { state: 'over' });
    },
  };
  return {
    clock,
    alive: () => timers.flatMap(({ state }, index) => (state === 'ref' ? [index] : [])),
    fire: (index) => {
      const timer = timers[index];
      if (timer === undefined) throw new Error('There is no such timer.');
      timer.state = 'over';
      timer.callback();
    },
  };
}

const nothing = (): void => {};

test('only alarms that are to keep the process alive do, and none after the end', () => {
  const { clock, alive, fire } = watchedClock();
  const time = new Time(clock, new Notices(), nothing);
  const alarms = [true, false, true, true, true].map((vital) => time.after(1_000, nothing, vital));
  expect(alive()).toEqual([0, 2, 3, 4]);
  time.cancel(alarms[3]);
  time.cancel(alarms[3]);
  fire(0);
  expect(alive()).toEqual([2, 4]);
  time.letGo();
  expect(alive()).toEqual([]);
  time.after(1_000, nothing, true);
  expect(alive()).toEqual([]);
  time.cancel(alarms[2]);
  time.cancel(alarms[4]);
});

test('an alarm longer than a timer keeps the process alive in all its parts', () => {
  const { clock, alive, fire } = watchedClock();
  const time = new Time(clock, new Notices(), nothing);
  const alarm = time.after(2 ** 31 * 3, nothing, true);
  expect(alive()).toEqual([0]);
  fire(0);
  expect(alive()).toEqual([1]);
  time.cancel(alarm);
  expect(alive()).toEqual([]);
});
