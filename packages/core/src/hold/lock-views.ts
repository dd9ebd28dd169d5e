import type { Lock } from '../types.ts';
import { LockArgumentError } from '../errors.ts';
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
}

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
