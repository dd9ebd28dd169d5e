import { clockOf, reportWarning } from './bypass.ts';
import type { Clock, ClockTimer } from './util/time.ts';
import { LockArgumentError, LockerClosedError, LockReleasedError } from './errors.ts';
import { checkElection, checkKey } from './options.ts';
import { isUnderLock, runWithLock } from './scope.ts';
import type { Lock, Locker } from './types.ts';
import { textOf } from './util/thrown.ts';

/** ms before a candidate campaigns again, on average; from half of it to half as much again. */
const PAUSE = 1_000;
/** ms between two looks at who leads, likewise. */
const LOOK_EVERY = 1_000;

/** Options of {@link elect}. */
export interface ElectOptions {
  /** Who leads, for people. @default the locker's `label` */
  label?: string | undefined;
  /** Closes the candidate when it is aborted. @default none */
  signal?: AbortSignal | undefined;
  /**
   * Leads: runs while this candidate is the leader. When it returns or throws, the candidate resigns and
   * campaigns again after a pause of about a second.
   *
   * @param term the fencing token: larger than that of every leader before, for writes to be checked by
   * @param signal aborts when the leadership is lost, and when the candidate is to resign or is closed
   */
  onElected: (term: number, signal: AbortSignal) => unknown;
}

/** Who leads, as a candidate sees it. */
export interface Leadership {
  /** For people; `undefined` while nobody leads. */
  readonly label: string | undefined;
  /** The leader's fencing token, 0 while nobody leads. */
  readonly term: number;
  /** Whether it is this candidate. */
  readonly isLeader: boolean;
}

/** One who campaigns until it is closed. */
export interface Candidate extends AsyncDisposable {
  /** Whether it leads, by the clock and not by what it was told last: right after a frozen event loop too. */
  readonly isLeader: boolean;
  /** The fencing token of its leadership; 0 while it does not lead. */
  readonly term: number;
  /**
   * Who leads: at once, and again after each change, about a second later at most. Ends when the candidate
   * is closed; while the store is away it stays silent.
   */
  observe(): AsyncIterableIterator<Leadership>;
  /**
   * Steps down: aborts the signal of `onElected`, waits for it to settle, and only then releases. The
   * candidate campaigns again after a pause. Called within `onElected`, it does not wait.
   */
  resign(): Promise<void>;
  /** Resigns and campaigns no more. */
  close(): Promise<void>;
}

/**
 * Campaigns for the leadership of `name`, a key of its own in the locker's namespace, until it is closed.
 * At most one candidate leads at a time, as far as a lock promises that: check the term where you write.
 *
 * @throws LockArgumentError
 * @example
 * ```ts
 * const candidate = elect(locker, 'scheduler', {
 *   onElected: async (term, signal) => {
 *     while (!signal.aborted) await runDueJobs({ fence: term, signal });
 *   },
 * });
 * process.once('SIGTERM', () => candidate.close());
 * ```
 */
export function elect(locker: Locker, name: string, options: ElectOptions): Candidate {
  if (typeof (locker as Locker | null | undefined)?.lock !== 'function') {
    throw new LockArgumentError('`locker` must be a locker, made by createLocker.');
  }
  checkKey(name);
  checkElection(options);
  return new Campaign(locker, name, options);
}

class Campaign implements Candidate {
  private readonly clock: Clock;
  private readonly closing = new AbortController();
  private readonly done: Promise<void>;
  private lock: Lock | undefined = undefined;
  /** Ends the term that is under way. */
  private stepDown = new AbortController();
  /** Settles when the term that is under way is over, and its lock is released. */
  private leading: Promise<void> = Promise.resolve();
  /** Those who watch, each told of every change. */
  private readonly watchers = new Set<() => void>();

  constructor(
    private readonly locker: Locker,
    private readonly name: string,
    private readonly options: ElectOptions,
  ) {
    this.clock = clockOf(locker);
    const { signal } = options;
    const abort = (): void => void this.close();
    if (signal?.aborted === true) this.closing.abort();
    else signal?.addEventListener('abort', abort, { once: true });
    this.done = this.run().finally(() => signal?.removeEventListener('abort', abort));
  }

  get isLeader(): boolean {
    return this.lock?.state === 'held';
  }

  get term(): number {
    return this.isLeader ? (this.lock as Lock).fencingToken : 0;
  }

  async *observe(): AsyncIterableIterator<Leadership> {
    let told: Leadership | undefined;
    while (!this.isClosed) {
      const changed = this.nextChange();
      const seen = await this.look();
      if (seen !== undefined && !isSame(seen, told)) yield (told = seen);
      await changed;
    }
  }

  async resign(): Promise<void> {
    const { lock, leading } = this;
    this.stepDown.abort(new LockReleasedError({ key: this.name }));
    // Whoever leads cannot wait for its own end.
    if (lock === undefined || !isUnderLock(lock)) await leading;
  }

  async close(): Promise<void> {
    const { lock } = this;
    this.closing.abort();
    this.changed();
    await this.resign();
    if (lock === undefined || !isUnderLock(lock)) await this.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  private async run(): Promise<void> {
    while (!this.isClosed) {
      const lock = await this.win();
      if (lock !== undefined) {
        this.leading = this.lead(lock);
        await this.leading;
      }
      if (!this.isClosed) await this.pause(PAUSE, this.closing.signal);
    }
  }

  /** The lock, or nothing where the store failed for too long. */
  private async win(): Promise<Lock | undefined> {
    const { signal } = this.closing;
    const { label } = this.options;
    // Ends the wait, and not the renewal of a lock whose callback has yet to settle.
    const waiting = new AbortController();
    const stop = (): void => waiting.abort();
    signal.addEventListener('abort', stop);
    try {
      return await this.locker.lock(this.name, {
        label,
        signal: waiting.signal,
        wait: Infinity,
        reentry: 'ignore',
      });
    } catch (error) {
      const cannotHeal = error instanceof LockArgumentError || error instanceof LockerClosedError;
      if (cannotHeal && !this.isClosed) {
        this.closing.abort();
        this.changed();
        if (error instanceof LockArgumentError) this.warn('cannot campaign', error);
      }
      return undefined;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Leads until the callback has settled, and releases then. Never rejects. */
  private async lead(lock: Lock): Promise<void> {
    const stepDown = new AbortController();
    // Closed while the lock was on its way.
    if (this.isClosed) stepDown.abort(new LockReleasedError({ key: this.name }));
    this.stepDown = stepDown;
    this.lock = lock;
    this.changed();
    const signal = AbortSignal.any([lock.signal, stepDown.signal]);
    try {
      if (!signal.aborted) {
        await runWithLock(lock, () => this.options.onElected(lock.fencingToken, signal));
      }
    } catch (error) {
      // Work that ends because its signal was aborted most often says so by an error.
      if (!signal.aborted) this.warn('resigns, because `onElected` failed', error);
    } finally {
      this.lock = undefined;
      await lock.release();
      this.changed();
    }
  }

  private async look(): Promise<Leadership | undefined> {
    const { isLeader, term } = this;
    if (isLeader) return { label: this.lock?.label, term, isLeader };
    try {
      const info = await this.locker.inspect(this.name);
      // The state may have changed meanwhile, and then there is another look.
      if (this.isLeader) return undefined;
      return { label: info?.label, term: info?.fencingToken ?? 0, isLeader: false };
    } catch {
      return undefined;
    }
  }

  /** Resolves after a change here, or when it is time for another look. */
  private async nextChange(): Promise<void> {
    const waiting = new AbortController();
    const wake = (): void => waiting.abort();
    this.watchers.add(wake);
    await this.pause(LOOK_EVERY, waiting.signal);
    this.watchers.delete(wake);
  }

  private changed(): void {
    for (const wake of this.watchers) wake();
  }

  private pause(ms: number, until: AbortSignal): Promise<void> {
    const { clock } = this;
    return new Promise((resolve) => {
      if (until.aborted) {
        resolve();
        return;
      }
      let timer: ClockTimer | undefined = undefined;
      const end = (): void => {
        clock.clearTimeout(timer as ClockTimer);
        until.removeEventListener('abort', end);
        resolve();
      };
      timer = clock.setTimeout(end, ms * (0.5 + (clock.random?.() ?? Math.random())));
      until.addEventListener('abort', end);
    });
  }

  private warn(what: string, error: unknown): void {
    reportWarning(this.locker, 'HOLDFAST_ELECTION', `A candidate ${what}: ${textOf(error)}`);
  }
}

function isSame(one: Leadership, other: Leadership | undefined): boolean {
  return one.label === other?.label && one.term === other?.term && one.isLeader === other?.isLeader;
}
