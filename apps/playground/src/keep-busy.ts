import { createLocker, type Locker, type LockStore } from '@holdfast/core';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { NAMES } from './services.ts';

const ACCOUNTS = 12;

/** Goes on working, with one thing that hangs, for somebody to look at, until a signal comes. */
export async function keepBusy(
  store: LockStore,
  open: (lockers: Readonly<Record<string, Locker>>) => Promise<() => void>,
): Promise<void> {
  const over = new AbortController();
  const ended = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  const locker = createLocker({ store, name: 'services', namespace: 'holdfast-demo' });
  const close = await open({ services: locker });
  const { signal } = over;
  const hang = locker.lock('report:nightly', { label: 'reports-1', signal });
  const waits = NAMES.map((name) => locker.lock('report:nightly', { label: name, signal }));
  const work = NAMES.map((name) => transferForEver(locker, name, signal));
  const all = Promise.allSettled([hang, ...waits, ...work]);
  await ended;
  over.abort(new Error('The demonstration is over.'));
  await all;
  await locker.close();
  close();
}

async function transferForEver(locker: Locker, label: string, signal: AbortSignal): Promise<void> {
  const account = (): string =>
    `account:A${String(Math.ceil(Math.random() * ACCOUNTS)).padStart(2, '0')}`;
  while (!signal.aborted) {
    await locker.withLock([account(), account()], { label, signal }, () =>
      sleep(200 + Math.random() * 1_500, undefined, { signal }),
    );
    await sleep(50, undefined, { signal });
  }
}
