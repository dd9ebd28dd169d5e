import type { LockStore } from '@holdfast/core';

export interface FrozenLink {
  /** The same store, as seen over a link that can freeze. */
  readonly store: LockStore;
  /** From now on nothing gets through, and nothing fails either: as with a server that hangs. */
  freeze(): void;
  thaw(): void;
}

const REQUESTS = new Set([
  'acquire',
  'renew',
  'release',
  'refresh',
  'leave',
  'inspect',
  'forceRelease',
]);

export function frozenLink(store: LockStore): FrozenLink {
  let frozen: Promise<void> | undefined;
  let thaw = (): void => {};
  const link = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function') return value;
      const run = (...args: unknown[]): unknown => Reflect.apply(value, target, args);
      if (!REQUESTS.has(String(name))) return run;
      return (...args: unknown[]) =>
        frozen === undefined ? run(...args) : frozen.then(() => run(...args));
    },
  });
  return {
    store: link,
    freeze: () => {
      frozen = new Promise((resolve) => (thaw = resolve));
    },
    thaw: () => {
      frozen = undefined;
      thaw();
    },
  };
}
