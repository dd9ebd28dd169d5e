import type { Key } from '@holdfast/core';
import type { Subscribable } from 'rxjs';
import type { OnBusy } from './options.ts';

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

/** Appears in the compiler's error. */
export interface SkipMismatch {
  "with `onLocked: 'skip'` the method's promise must allow undefined": never;
}

/** Appears in the compiler's error. */
export interface OnLockedMismatch {
  'the value of `onLocked` must be one that the promise of the method allows': never;
}

type KeyCheck<K, M extends AnyMethod> = K extends Key
  ? unknown
  : K extends (...args: Parameters<M>) => unknown
    ? unknown
    : KeyMismatch;

type ResultCheck<M extends AnyMethod> = [ReturnType<M>] extends [LockableResult]
  ? unknown
  : ResultMismatch;

/** What the promise of a method resolves to where its lock is busy. */
type Instead<B extends OnBusy, R> = ('throw' extends B ? never : undefined) | Awaited<R>;

/** `void`, `any` and `unknown` take everything. */
type Takes<T, V> = [V] extends [T] ? true : [void] extends [T] ? true : false;

/** Options of which nothing is known but that they are options are not checked. */
type ReactionCheck<B extends OnBusy, R, M extends AnyMethod> = unknown extends R
  ? unknown
  : ReturnType<M> extends PromiseLike<infer T>
    ? Takes<T, Instead<B, R>> extends true
      ? unknown
      : 'throw' extends B
        ? OnLockedMismatch
        : SkipMismatch
    : unknown;

/**
 * A decorator for methods whose arguments the key function accepts, whose result can be waited for, and whose
 * promise may resolve to what `onLocked` makes of a busy lock.
 */
export type WithLockDecorator<K, B extends OnBusy = OnBusy, R = unknown> = <M extends AnyMethod>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<M> & KeyCheck<K, M> & ResultCheck<M> & ReactionCheck<B, R, M>,
) => void;
