import { isAsyncIterable } from './kinds.ts';
import type { ConsumerLock } from './consumer-lock.ts';
import type { Use } from './lock-use.ts';

interface Opened {
  /** Absent where nothing runs under a lock. */
  readonly use: Use | undefined;
  readonly source: AsyncIterator<unknown>;
}

const EMPTY: AsyncIterator<unknown> = {
  next: () => Promise.resolve({ done: true, value: undefined }),
};

/** An iterator that was dropped without being ended would hold its lock for as long as the process. */
const dropped = new FinalizationRegistry<Use>((use) => void use.end());

/**
 * An async iterator whose source is pulled under a lock: held from the first pull until the source is
 * done, fails or is closed.
 */
export class GuardedIterator implements AsyncGenerator<unknown, unknown, unknown> {
  readonly #consumerLock: ConsumerLock;
  readonly #open: () => AsyncIterator<unknown>;
  readonly #discard: ((reason: unknown) => unknown) | undefined;
  #opened: Promise<Opened> | undefined = undefined;

  /**
   * @param open called once, in the lock's context, at the first pull
   * @param discard called instead if it is closed before that
   */
  constructor(
    consumerLock: ConsumerLock,
    open: () => AsyncIterator<unknown>,
    discard?: (reason: unknown) => unknown,
  ) {
    this.#consumerLock = consumerLock;
    this.#open = open;
    this.#discard = discard;
  }

  next(...value: [] | [unknown]): Promise<IteratorResult<unknown, unknown>> {
    this.#opened ??= this.#begin();
    return this.#pull(this.#opened, (source) => source.next(...value));
  }

  return(value?: unknown): Promise<IteratorResult<unknown, unknown>> {
    const opened = (this.#opened ??= this.#skip(value));
    const done = async (): Promise<IteratorResult<unknown, unknown>> => {
      return { done: true, value: await value };
    };
    return this.#pull(opened, (source) => source.return?.(value) ?? done());
  }

  throw(error?: unknown): Promise<IteratorResult<unknown, unknown>> {
    const opened = (this.#opened ??= this.#skip(error));
    return this.#pull(opened, (source) => source.throw?.(error) ?? Promise.reject(error));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  get [Symbol.toStringTag](): string {
    return 'AsyncGenerator';
  }

  async #begin(): Promise<Opened> {
    const begun = await this.#consumerLock.begin(new AbortController());
    if (!('use' in begun)) {
      const { value } = begun;
      const source = isAsyncIterable(value) ? value[Symbol.asyncIterator]() : EMPTY;
      return { use: undefined, source };
    }
    const { use } = begun;
    dropped.register(this, use, this);
    try {
      return { use, source: use.lockUse.run(this.#open) };
    } catch (error) {
      await this.#end(use);
      throw error;
    }
  }

  /** Closed before the first pull. */
  async #skip(reason: unknown): Promise<Opened> {
    await this.#discard?.(reason);
    await this.#consumerLock.drop();
    return { use: undefined, source: EMPTY };
  }

  async #pull(
    opening: Promise<Opened>,
    call: (source: AsyncIterator<unknown>) => Promise<IteratorResult<unknown, unknown>>,
  ): Promise<IteratorResult<unknown, unknown>> {
    const { use, source } = await opening;
    if (use === undefined) return call(source);
    let result: IteratorResult<unknown, unknown>;
    try {
      result = await use.lockUse.run(() => call(source));
      if (result.done === true) use.lockUse.assertKept(result.value);
    } catch (error) {
      await this.#end(use);
      throw error;
    }
    if (result.done === true) await this.#end(use);
    return result;
  }

  async #end(use: Use): Promise<void> {
    dropped.unregister(this);
    await use.end();
  }
}
