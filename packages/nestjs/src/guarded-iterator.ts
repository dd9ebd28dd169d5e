import { isAsyncIterable } from './kinds.ts';
import type { Claim } from './claim.ts';
import type { Part } from './hold.ts';

interface Opened {
  /** Absent where nothing runs under a lock. */
  readonly part: Part | undefined;
  readonly source: AsyncIterator<unknown>;
}

const EMPTY: AsyncIterator<unknown> = {
  next: () => Promise.resolve({ done: true, value: undefined }),
};

/** An iterator that was dropped without being ended would hold its lock for as long as the process. */
const dropped = new FinalizationRegistry<Part>((part) => void part.end());

/**
 * An async iterator whose source is pulled under a lock: held from the first pull until the source is
 * done, fails or is closed.
 */
export class GuardedIterator implements AsyncGenerator<unknown, unknown, unknown> {
  readonly #claim: Claim;
  readonly #open: () => AsyncIterator<unknown>;
  readonly #discard: ((reason: unknown) => unknown) | undefined;
  #opened: Promise<Opened> | undefined = undefined;

  /**
   * @param open called once, in the lock's context, at the first pull
   * @param discard called instead if it is closed before that
   */
  constructor(
    claim: Claim,
    open: () => AsyncIterator<unknown>,
    discard?: (reason: unknown) => unknown,
  ) {
    this.#claim = claim;
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
    const begun = await this.#claim.begin(new AbortController());
    if (!('part' in begun)) {
      const { value } = begun;
      const source = isAsyncIterable(value) ? value[Symbol.asyncIterator]() : EMPTY;
      return { part: undefined, source };
    }
    const { part } = begun;
    dropped.register(this, part, this);
    try {
      return { part, source: part.hold.run(this.#open) };
    } catch (error) {
      await this.#end(part);
      throw error;
    }
  }

  /** Closed before the first pull. */
  async #skip(reason: unknown): Promise<Opened> {
    await this.#discard?.(reason);
    await this.#claim.drop();
    return { part: undefined, source: EMPTY };
  }

  async #pull(
    opening: Promise<Opened>,
    call: (source: AsyncIterator<unknown>) => Promise<IteratorResult<unknown, unknown>>,
  ): Promise<IteratorResult<unknown, unknown>> {
    const { part, source } = await opening;
    if (part === undefined) return call(source);
    let result: IteratorResult<unknown, unknown>;
    try {
      result = await part.hold.run(() => call(source));
    } catch (error) {
      await this.#end(part);
      throw error;
    }
    if (result.done === true) await this.#end(part);
    return result;
  }

  async #end(part: Part): Promise<void> {
    dropped.unregister(this);
    await part.end();
  }
}
