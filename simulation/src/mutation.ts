import type { LockStore } from '@holdfast/core';
import type { Invariant } from './violation.ts';

/** A bug put in on purpose, to show that the simulation would find it. */
export interface Mutant {
  readonly name: string;
  /** What notices it. */
  readonly caughtBy: readonly Invariant[];
  /** Puts it into the engine; returns what takes it out again. */
  readonly install?: () => () => void;
  /** Puts it before the server. */
  readonly wrap?: (server: LockStore) => LockStore;
  /** Only callbacks that misbehave show it. */
  readonly misbehaving?: boolean;
}

// oxlint-disable-next-line typescript/no-explicit-any -- methods of any shape, private ones too
export type Method = (this: any, ...args: any[]) => unknown;

/** Replaces a method of a class by one that is made from it. */
export function patch(
  type: { readonly prototype: object },
  name: string,
  make: (original: Method) => Method,
): () => void {
  const methods = type.prototype as Record<string, Method>;
  const original = methods[name] as Method;
  methods[name] = make(original);
  return () => {
    methods[name] = original;
  };
}

/** The store with some verbs replaced. */
export function replaced(server: LockStore, verbs: Partial<LockStore>): LockStore {
  return new Proxy(server, {
    get(target, name) {
      const verb = (verbs as Record<PropertyKey, unknown>)[name];
      if (verb !== undefined) return verb;
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
