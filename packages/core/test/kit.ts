// The package that helps to test lockers is built on core, so core cannot depend on it: its own
// tests take it from the sources.
import {
  faultyStore,
  seededRandom,
  virtualClock,
  type FaultyStore,
  type VirtualClock,
} from '../../testing/src/index.ts';
import {
  createLocker,
  memoryStore,
  type Locker,
  type LockerOptions,
  type LockEvents,
  type LockStore,
  type StoreEvent,
} from '../src/index.ts';

export { seededRandom, virtualClock, type VirtualClock };

/** One request that a locker sent to the store. */
interface SentRequest {
  readonly verb: string;
  readonly at: number;
  readonly args: readonly unknown[];
}

export interface Bench {
  readonly clock: VirtualClock;
  /** The store itself, without faults. */
  readonly memory: LockStore;
  /** What the lockers use: the memory store, with the faults that a test asks for. */
  readonly faults: FaultyStore;
  /** All that the lockers sent, but for subscriptions. */
  readonly requests: SentRequest[];
  /** How many requests were sent: of some verbs, or of all. */
  readonly sent: (...verbs: string[]) => number;
  readonly locker: (options?: LockerOptions) => Locker;
  /** Delivers an event to every locker, as a store would. */
  readonly tell: (event: StoreEvent) => void;
  /** Whether a key could be had: nobody holds it. */
  readonly free: (key: string) => Promise<boolean>;
}

const VERBS = [
  'acquire',
  'renew',
  'release',
  'refresh',
  'leave',
  'inspect',
  'list',
  'forceRelease',
];

/** Lockers on one store in virtual time. */
export function bench(change: (store: LockStore) => LockStore = (store) => store): Bench {
  const clock = virtualClock({ seed: 1 });
  const memory = memoryStore({ clock });
  const faults = faultyStore(memory, { clock });
  const requests: SentRequest[] = [];
  const listeners = new Set<(event: StoreEvent) => void>();
  const changed = change(faults);
  const recording = variant(changed, {
    subscribe: (client, listener) => {
      listeners.add(listener);
      return changed.subscribe(client, listener);
    },
  });
  for (const verb of VERBS) {
    const run = Reflect.get(recording, verb) as ((...args: unknown[]) => unknown) | undefined;
    if (run === undefined) continue;
    Reflect.set(recording, verb, (...args: unknown[]) => {
      requests.push({ verb, at: clock.now(), args });
      return run.apply(recording, args);
    });
  }
  const looker = createLocker({ store: memory, clock });
  return {
    clock,
    memory,
    faults,
    requests,
    sent: (...verbs) =>
      requests.filter(({ verb }) => verbs.length === 0 || verbs.includes(verb)).length,
    locker: (options = {}) => createLocker({ store: recording, clock, ...options }),
    tell: (event) => listeners.forEach((listener) => listener(event)),
    free: async (key) => (await looker.inspect(key)) === null,
  };
}

/** A store that differs from another in some verbs. */
export function variant(store: LockStore, changes: Partial<LockStore>): LockStore {
  const copy = Object.create(store) as LockStore;
  // Methods run on the store itself, whatever its private parts are.
  for (const verb of [...VERBS, 'subscribe', 'encodeKey', 'decodeKey', 'leaseFor']) {
    const run = Reflect.get(store, verb) as ((...args: unknown[]) => unknown) | undefined;
    if (run !== undefined) {
      Object.defineProperty(copy, verb, { value: run.bind(store), writable: true });
    }
  }
  for (const [name, value] of Object.entries(changes)) {
    Object.defineProperty(copy, name, { value, writable: true });
  }
  return copy;
}

/** How a promise stands. */
export interface Watched<T> {
  state: 'pending' | 'fulfilled' | 'rejected';
  value?: T;
  reason?: unknown;
  /** When it settled. */
  at?: number;
}

export function watch<T>(promise: PromiseLike<T>, clock?: VirtualClock): Watched<T> {
  const watched: Watched<T> = { state: 'pending' };
  const settle = (state: 'fulfilled' | 'rejected', rest: Partial<Watched<T>>): void => {
    Object.assign(watched, { state, ...rest });
    if (clock !== undefined) watched.at = clock.now();
  };
  promise.then(
    (value) => settle('fulfilled', { value }),
    (reason: unknown) => settle('rejected', { reason }),
  );
  return watched;
}

/** What a promise is rejected with; fails where it is not. */
export async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('It was not rejected.');
}

const EVENTS = [
  'acquired',
  'waiting',
  'not-acquired',
  'renewed',
  'lost',
  'released',
  'handoff',
  'bypassed',
  'store-error',
  'warning',
] as const;

type Heard = { [E in keyof LockEvents]: { event: E } & LockEvents[E] }[keyof LockEvents];

/** All events of a locker from now on. */
export function hear(locker: Locker, ...only: (keyof LockEvents)[]): Heard[] {
  const heard: Heard[] = [];
  for (const event of only.length > 0 ? only : EVENTS) {
    locker.on(event, (payload) => heard.push({ event, ...payload } as Heard));
  }
  return heard;
}

/** Until all that can happen without time passing has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
