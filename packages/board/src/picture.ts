import type { LockHolder, LockInfo } from '@holdfast/core';
import type { KeyNames } from './key-names.ts';
import type { BoardState, LockRow } from './protocol.ts';
import type { Sweep } from './sweep.ts';
import type { Timeline } from './timeline.ts';

const STUCK = 50;
const HOTTEST = 10;

/** A lock as it may be shown. */
export function rowOf(locker: string, lock: LockInfo, names: KeyNames): LockRow {
  const { key, label, fencingToken, since, remaining, waiters = 0 } = lock;
  const [id, shown] = [names.id(key), names.shown(key)];
  const holders = holdersOf(lock).length;
  const row = { locker, id, key: shown, label, token: fencingToken, since, remaining, waiters };
  return holders > 1 ? { ...row, holders } : row;
}

export function holdersOf(lock: LockInfo): readonly LockHolder[] {
  return lock.holders ?? [lock];
}

export function pictureOf(
  sweeps: readonly Sweep[],
  timeline: Timeline,
  names: KeyNames,
): BoardState {
  const now = Date.now();
  let waiting = 0;
  const stuck: { locker: string; lock: LockInfo }[] = [];
  for (const { name, locks } of sweeps) {
    for (const lock of locks) {
      if ((lock.waiters ?? 0) === 0) continue;
      waiting += lock.waiters ?? 0;
      stuck.push({ locker: name, lock });
    }
  }
  // The sum of all waiting so far: how long it is held, for each that waits.
  const weight = ({ lock }: { lock: LockInfo }): number =>
    (now - (lock.since ?? now)) * (lock.waiters ?? 0);
  stuck.sort((a, b) => weight(b) - weight(a));
  return {
    now,
    lockers: sweeps.map(({ state }) => state),
    waiting,
    stuck: stuck.slice(0, STUCK).map(({ locker, lock }) => rowOf(locker, lock, names)),
    hottest: timeline.waits
      .hottest(HOTTEST, now)
      .map(({ key, waited, waits }) => ({ key: names.shown(key), waited, waits })),
  };
}
