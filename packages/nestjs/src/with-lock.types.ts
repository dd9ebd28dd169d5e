import type { Key } from '@holdfast/core';
import type { Subscribable } from 'rxjs';

/**
 * The key of a method's lock, from its arguments; its own parameters may be fewer or wider. `null`: this
 * call needs no lock.
 */
// The parameters are checked against those of the method, by `KeyCheck`.
// oxlint-disable-next-line typescript/no-explicit-any
export type LockKeyFunction = (...args: any[]) => Key | null | PromiseLike<Key | null>;

// oxlint-disable-next-line typescript/no-explicit-any
type AnyMethod = (...args: any[]) => unknown;

/** What a method with `@WithLock` may return: something that can be waited for. */
export type LockableResult = PromiseLike<unknown> | Subscribable<unknown> | AsyncIterable<unknown>;

/** Appears in the compiler's error. */
export interface KeyMismatch {
  'the key function must accept the arguments of the method': never;
}

/** Appears in the compiler's error. */
export interface ResultMismatch {
  'a method with a lock must return a promise, an Observable or an async iterable': never;
}

type KeyCheck<K, M extends AnyMethod> = K extends Key
  ? unknown
  : K extends (...args: Parameters<M>) => unknown
    ? unknown
    : KeyMismatch;

type ResultCheck<M extends AnyMethod> = [ReturnType<M>] extends [LockableResult]
  ? unknown
  : ResultMismatch;

/** A decorator for methods whose arguments the key function accepts and whose result can be waited for. */
export type WithLockDecorator<K> = <M extends AnyMethod>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<M> & KeyCheck<K, M> & ResultCheck<M>,
) => void;
