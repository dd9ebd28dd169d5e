import type { AcquireRequest, LockStore, StoreEvent } from '@holdfast/core';

/** A store, and what happened between it and its lockers. */
export interface RecordedStore {
  readonly store: LockStore;
  readonly events: StoreEvent[];
  readonly acquisitions: AcquireRequest[];
  /** How often grants were renewed or checked. */
  renewals: number;
  /** How many each of these times. */
  readonly renewedTogether: number[];
  /** How often wake-ups came, which only a message brings. */
  wakes(): number;
}

export function recorded(original: LockStore): RecordedStore {
  const events: StoreEvent[] = [];
  const acquisitions: AcquireRequest[] = [];
  const subscribe: LockStore['subscribe'] = (client, listener) =>
    original.subscribe(client, (event) => {
      events.push(event);
      listener(event);
    });
  const acquire: LockStore['acquire'] = (request) => {
    acquisitions.push(request);
    return original.acquire(request);
  };
  const renew: LockStore['renew'] = (requests) => {
    record.renewals += 1;
    record.renewedTogether.push(requests.length);
    return original.renew(requests);
  };
  const own = new Map<PropertyKey, unknown>(Object.entries({ subscribe, acquire, renew }));
  const store = new Proxy(original, {
    get(target, property) {
      if (own.has(property)) return own.get(property);
      const value: unknown = Reflect.get(target, property);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const record: RecordedStore = {
    store,
    events,
    acquisitions,
    renewals: 0,
    renewedTogether: [],
    wakes: () => events.filter(({ type }) => type === 'wake').length,
  };
  return record;
}
