import type { LockEvents } from '@holdfast/core';
import { subscribe } from 'node:diagnostics_channel';
import { Counter, Gauge, Histogram } from 'prom-client';

const on = <E extends keyof LockEvents>(event: E, record: (payload: LockEvents[E]) => void): void =>
  subscribe(`holdfast:${event}`, (payload) => record(payload as LockEvents[E]));

const buckets = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10, 60, 300];
const labelNames = ['locker', 'outcome'];
const waits = new Histogram({
  name: 'holdfast_lock_wait_duration_seconds',
  help: 'Time from asking for a lock to the answer.',
  labelNames,
  buckets,
});
const holds = new Histogram({
  name: 'holdfast_lock_hold_duration_seconds',
  help: 'Time from the grant to the release or loss.',
  labelNames,
  buckets,
});
const lost = new Counter({
  name: 'holdfast_lock_lost_total',
  help: 'Locks that were lost.',
  labelNames: ['locker', 'reason'],
});
const waiting = new Gauge({
  name: 'holdfast_lock_waiting',
  help: 'Acquisitions that wait.',
  labelNames: ['locker'],
});

function answered(
  outcome: string,
  { locker, waited, waiter }: { locker: string; waited: number; waiter?: number | undefined },
): void {
  waits.observe({ locker, outcome }, waited / 1_000);
  // It was told of by `waiting` before.
  if (waiter !== undefined) waiting.dec({ locker });
}

on('waiting', ({ locker }) => waiting.inc({ locker }));
on('acquired', (event) => answered('acquired', event));
on('not-acquired', (event) => answered('not_acquired', event));
on('released', ({ locker, heldFor }) =>
  holds.observe({ locker, outcome: 'released' }, heldFor / 1_000),
);
on('lost', ({ locker, heldFor, reason }) => {
  holds.observe({ locker, outcome: 'lost' }, heldFor / 1_000);
  lost.inc({ locker, reason });
});
