import type { Lock } from '../types.ts';
import { LockArgumentError } from '../errors.ts';
import type { inspect as Inspect } from 'node:util';
import { INSPECT, inspected } from '../util/inspection.ts';
import type { Handle } from './lock-events.ts';
import { HANDLE, internalsOf, type HandleInternals } from './handle.ts';

/** A lock as somebody else is to see it; whatever a subclass does not change is the lock's own. */
abstract class LockView implements Lock {
  constructor(protected readonly lock: Lock) {}

  get keys(): readonly string[] {
    return this.lock.keys;
  }

  get key(): string {
    return this.keys[0] as string;
  }

  get label(): string {
    return this.lock.label;
  }

  get owner(): string {
    return this.lock.owner;
  }

  get fencingToken(): number {
    return this.lock.fencingToken;
  }

  get signal(): AbortSignal {
    return this.lock.signal;
  }

  get state(): 'held' | 'lost' | 'released' {
    return this.lock.state;
  }

  get remaining(): number {
    return this.lock.remaining;
  }

  get [HANDLE](): HandleInternals | undefined {
    return internalsOf(this.lock);
  }

  tokenFor(key: string): number {
    return this.lock.tokenFor(key);
  }

  assertHeld(): void {
    this.lock.assertHeld();
  }

  extend(ttl?: number): Promise<void> {
    return this.lock.extend(ttl);
  }

  release(): Promise<boolean> {
    return this.lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  toJSON(): object {
    const { keys, owner, fencingToken, state } = this;
    return { keys, owner, fencingToken, state };
  }

  [INSPECT](depth: number, options: object, inspect: typeof Inspect): string {
    return inspected('Lock', shownOf(this), depth, options, inspect);
  }
}

/** What `console.log()` shows of a lock: not its keys, which may hold personal data. */
export function shownOf(lock: Lock): object {
  const { state, remaining, label, keys, fencingToken } = lock;
  if (keys.length === 1) return { state, fencingToken, remaining, label };
  return { state, fencingTokens: keys.map((key) => lock.tokenFor(key)), remaining, label };
}

/**
 * The handle of a lock that was taken by hand. It is a thing apart from the lease, which its locker
 * renews, so that it shows when nobody has the handle any more.
 */
class HandedLock extends LockView {
  override toJSON(): object {
    return (this.lock as Lock & { toJSON(): object }).toJSON();
  }
}

const dropped = new FinalizationRegistry<HandleInternals>((internals) => internals.dropped());

/** Gives a lock to one who takes it by hand. */
export function handOut(lock: Handle | JoinedLock): Lock {
  // Whoever joins a lock of others does not keep it.
  if (lock instanceof JoinedLock) return lock;
  const handed = new HandedLock(lock);
  lock.handed = handed;
  return handed;
}

/**
 * From now on a handle may be found to be dropped. Not from the start, for most locks are released long
 * before anybody could wonder, and watching costs more than all the rest of a lock.
 */
export function watch(internals: HandleInternals): void {
  const { handed } = internals;
  if (handed === undefined) return;
  internals.handed = undefined;
  dropped.register(handed, internals);
}

export const HANDLE_DROPPED =
  'A lock is held whose handle nobody has any more, so nobody can release it: it is not renewed, and ' +
  'ends with its lease. Keep the handle until you release it, or use `withLock`.';

/** The use of an enclosing lock by code inside it (`reentry: 'join'`): all of it but its release. */
export class JoinedLock extends LockView {
  constructor(
    lock: Lock,
    private readonly joined: readonly string[],
  ) {
    super(lock);
  }

  override get keys(): readonly string[] {
    return this.joined;
  }

  override get fencingToken(): number {
    return this.keys.length === 1 ? this.tokenFor(this.key) : 0;
  }

  override tokenFor(key: string): number {
    if (this.keys.includes(key)) return this.lock.tokenFor(key);
    throw new LockArgumentError('This lock does not cover that key.', { key });
  }

  /** Its holder releases it. */
  override release(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

class SignalledLock extends LockView {
  /** Made when it is first asked for, as a lock's own signal is. */
  private either: AbortSignal | undefined;

  constructor(
    lock: Lock,
    private readonly other: AbortSignal,
  ) {
    super(lock);
  }

  override get signal(): AbortSignal {
    return (this.either ??= AbortSignal.any([this.lock.signal, this.other]));
  }
}

/**
 * For adapters: a lock whose signal also aborts with `signal`, while it is held and renewed as before.
 *
 * @example
 * ```ts
 * const gone = new AbortController();
 * response.on('close', () => gone.abort(new LockAbortedError('The client went away.')));
 * request.lock = withSignal(lock, gone.signal);
 * ```
 */
export function withSignal(lock: Lock, signal: AbortSignal): Lock {
  return new SignalledLock(lock, signal);
}
