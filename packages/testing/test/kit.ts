import { createLocker, memoryStore, type Locker, type LockStore } from '@holdfast/core';
import { faultyStore, virtualClock, type FaultyStore, type VirtualClock } from '@holdfast/testing';

const VERBS = [
  'encodeKey',
  'decodeKey',
  'leaseFor',
  'acquire',
  'renew',
  'release',
  'refresh',
  'leave',
  'subscribe',
  'inspect',
  'list',
  'forceRelease',
] as const;

/** A store that differs from another in some verbs; `undefined` takes one away. */
export function variant(store: LockStore, changes: Partial<LockStore>): LockStore {
  const copy: Record<string, unknown> = { name: store.name, capabilities: store.capabilities };
  for (const verb of VERBS) {
    const method = Reflect.get(store, verb) as ((...args: unknown[]) => unknown) | undefined;
    if (method !== undefined) copy[verb] = method.bind(store);
  }
  return Object.assign(copy, changes) as unknown as LockStore;
}

export interface World {
  readonly clock: VirtualClock;
  readonly inner: LockStore;
  readonly store: FaultyStore;
  readonly locker: Locker;
  /** Of the store behind the faults: what really happened. */
  readonly held: (key: string) => Promise<boolean>;
}

/** A locker on a faulty memory store in virtual time. */
export function world(change: (store: LockStore) => LockStore = (store) => store): World {
  const clock = virtualClock({ seed: 1 });
  const inner = change(memoryStore({ clock }));
  const store = faultyStore(inner, { clock });
  const locker = createLocker({ store, clock });
  const looker = createLocker({ store: inner, clock });
  return { clock, inner, store, locker, held: async (key) => (await looker.inspect(key)) !== null };
}

/** Whether a request has been answered, and how. */
export async function outcome(answer: unknown, clock: VirtualClock, ms: number): Promise<unknown> {
  let state: unknown = 'nothing';
  Promise.resolve(answer).then(
    (value: unknown) => (state = value),
    (error: unknown) => (state = error),
  );
  await clock.advance(ms);
  return state;
}
