import type { LockStore } from '@holdfast/core';

/** A store, and how many acquire requests it has been sent. */
export interface CountedStore {
  readonly store: LockStore;
  readonly acquires: number;
}

/** Counts the acquire requests that reach a store: those that must never reach one are counted too. */
export function countedStore(original: LockStore): CountedStore {
  let acquires = 0;
  const store = new Proxy(original, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (name === 'acquire') acquires += 1;
        return Reflect.apply(value, target, args);
      };
    },
  });
  return {
    store,
    get acquires() {
      return acquires;
    },
  };
}
