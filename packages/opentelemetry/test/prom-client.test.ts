import { createLocker, memoryStore } from '@holdfast/core';
import { virtualClock } from '@holdfast/testing';
import { readFileSync } from 'node:fs';
import { register } from 'prom-client';
import { beforeAll, expect, test } from 'vitest';

// It registers its metrics and listens.
beforeAll(() => import('./recipes/prom-client.ts'));

const read = (file: string): string => readFileSync(new URL(file, import.meta.url), 'utf8');

test('the recipe of the README is the one that is tested', () => {
  expect(read('../README.md')).toContain(read('recipes/prom-client.ts').trim());
});

test('the recipe measures waits, holds and losses, and its gauge returns to zero', async () => {
  const clock = virtualClock({ seed: 1 });
  const locker = createLocker({ store: memoryStore({ clock }), clock, name: 'orders' });
  const first = await locker.lock('k', { maxHold: 5_000 });
  const caller = new AbortController();
  const gone = locker.lock('k', { signal: caller.signal });
  const late = locker.lock('k', { wait: 500 });
  for (const wait of [gone, late]) wait.catch(() => {});
  await clock.advance(100);
  expect(await register.metrics()).toContain('holdfast_lock_waiting{locker="orders"} 2');
  caller.abort();
  await clock.advance(10_000);
  expect(first.state).toBe('lost');
  const metrics = await register.metrics();
  for (const line of [
    'holdfast_lock_waiting{locker="orders"} 0',
    'holdfast_lock_wait_duration_seconds_count{locker="orders",outcome="acquired"} 1',
    'holdfast_lock_wait_duration_seconds_count{locker="orders",outcome="not_acquired"} 2',
    'holdfast_lock_hold_duration_seconds_sum{locker="orders",outcome="lost"} 5',
    'holdfast_lock_lost_total{locker="orders",reason="max-hold"} 1',
  ]) {
    expect(metrics).toContain(line);
  }
});
