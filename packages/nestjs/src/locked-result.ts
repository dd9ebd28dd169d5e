import { observable, type Observable, type Operator, type OperatorFunction } from 'rxjs';

/** What a call can become, depending on what its caller does with the result. */
export interface LockedResultSources {
  run(): Promise<unknown>;
  observe(): Observable<unknown>;
  /** What it was run for, if that is an Observable. */
  observeRun(run: Promise<unknown>): Observable<unknown>;
  iterate(): AsyncGenerator;
  /** What it was run for, if that is an iterable. */
  iterateRun(run: Promise<unknown>): AsyncGenerator;
}

/**
 * The result of a method of which nothing tells whether it returns a promise, an Observable or an async
 * iterable: only running it would, and it may run under its lock only. So it is a promise that can be
 * subscribed and iterated too. Its caller, who knows the method's type, treats it as one of them: by the
 * end of the same turn it is either subscribed or iterated, and then the method runs whenever that is
 * done, or the method runs now, and whoever subscribes or iterates later gets what it returned.
 */
export class LockedResult extends Promise<unknown> {
  readonly #sources: LockedResultSources;
  readonly #resolve: (value: unknown) => void;
  #run: Promise<unknown> | undefined = undefined;
  #deferred = false;

  constructor(sources: LockedResultSources) {
    let settle: (value: unknown) => void = () => {};
    super((resolve) => {
      settle = resolve;
    });
    this.#sources = sources;
    this.#resolve = settle;
    // Not `queueMicrotask`, which the fake timers of test runners replace.
    void Promise.resolve().then(() => {
      if (!this.#deferred) this.#start();
    });
  }

  /** What is made of it are promises like any other. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  // oxlint-disable-next-line unicorn/no-thenable -- it is a promise that starts when it is awaited
  override then<A = unknown, B = never>(
    onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#start();
    return super.then(onFulfilled, onRejected);
  }

  subscribe(...args: Parameters<Observable<unknown>['subscribe']>): unknown {
    return this.#observable().subscribe(...args);
  }

  pipe(...operators: OperatorFunction<unknown, unknown>[]): Observable<unknown> {
    return operators.reduce((source, operator) => operator(source), this.#observable());
  }

  /** With it, RxJS takes this for an Observable. */
  lift(operator: Operator<unknown, unknown>): Observable<unknown> {
    return this.#observable().lift(operator);
  }

  [observable](): Observable<unknown> {
    return this.#observable();
  }

  [Symbol.asyncIterator](): AsyncGenerator {
    if (this.#run !== undefined) return this.#sources.iterateRun(this.#run);
    this.#deferred = true;
    return this.#sources.iterate();
  }

  #observable(): Observable<unknown> {
    if (this.#run !== undefined) return this.#sources.observeRun(this.#run);
    this.#deferred = true;
    return this.#sources.observe();
  }

  #start(): void {
    if (this.#run !== undefined) return;
    this.#run = this.#sources.run();
    this.#resolve(this.#run);
  }
}
