import { AsyncLocalStorage } from 'node:async_hooks';
import { isPromiseLike } from '@holdfast/core';
import { shared } from './names.ts';
import { ownResponseOf } from './response.ts';

/** The runs of route handlers under `@UseLock` that the calling code is part of. */
const runs = shared('runs', () => new AsyncLocalStorage<HandlerRun>());

/**
 * One run of a route handler (or resolver, or message handler) under an interceptor's lock. What an
 * interceptor sees of it is what it emits; whether it still runs when nobody is interested any more, the
 * handler itself tells, where `@UseLock` is on it.
 */
export class HandlerRun {
  /** Has begun, and told so. */
  private begun = false;
  private pending: PromiseLike<unknown> | undefined = undefined;
  private readonly outer = runs.getStore();

  constructor(
    readonly type: object,
    readonly property: string | symbol | undefined,
  ) {}

  /** Whether it is known to run, or known not to: `'unknown'` if the handler does not tell. */
  get state(): 'running' | 'done' | 'unknown' {
    if (this.pending !== undefined) return 'running';
    return this.begun ? 'done' : 'unknown';
  }

  /** Whether the handler sends the response itself. */
  get sendsItself(): boolean {
    const { type, property } = this;
    return property !== undefined && ownResponseOf(type, property) !== undefined;
  }

  /** Settles when the promise of the handler has. */
  async settled(): Promise<void> {
    await this.pending;
  }

  enter<T>(work: () => T): T {
    return runs.run(this, work);
  }

  /** The handler was called and has returned `result`. */
  returned(self: object, property: string | symbol, result: unknown): void {
    this.outer?.returned(self, property, result);
    if (this.begun || this.type !== self.constructor || this.property !== property) return;
    this.begun = true;
    if (!isPromiseLike(result)) return;
    const over = (): void => {
      this.pending = undefined;
    };
    this.pending = result.then(over, over);
  }
}

/** Tells the runs that the calling code is part of what a handler has returned. */
export function handlerReturned(self: object, property: string | symbol, result: unknown): void {
  runs.getStore()?.returned(self, property, result);
}

const properties = new WeakMap<object, string | symbol>();

/** The name of the method that is a class's handler. */
export function propertyOf(type: object, handler: object): string | symbol | undefined {
  const known = properties.get(handler);
  if (known !== undefined) return known;
  let prototype = (type as { prototype?: object | null }).prototype;
  while (prototype !== undefined && prototype !== null) {
    for (const property of Reflect.ownKeys(prototype)) {
      if (Object.getOwnPropertyDescriptor(prototype, property)?.value !== handler) continue;
      properties.set(handler, property);
      return property;
    }
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  return undefined;
}
