import type { Lock } from './api.ts';
import { LockArgumentError } from './errors.ts';
import { HANDLE, internalsOf, type HandleInternals } from './handle.ts';

/** The use of an enclosing lock by code inside it (`reentry: 'join'`): all of it but its release. */
export class JoinedLock implements Lock {
  constructor(
    private readonly outer: Lock,
    readonly keys: readonly string[],
  ) {}

  get key(): string {
    return this.keys[0] as string;
  }

  get label(): string {
    return this.outer.label;
  }

  get owner(): string {
    return this.outer.owner;
  }

  get fencingToken(): number {
    return this.keys.length === 1 ? this.outer.tokenFor(this.key) : 0;
  }

  get signal(): AbortSignal {
    return this.outer.signal;
  }

  get state(): 'held' | 'lost' | 'released' {
    return this.outer.state;
  }

  get remaining(): number {
    return this.outer.remaining;
  }

  get [HANDLE](): HandleInternals | undefined {
    return internalsOf(this.outer);
  }

  tokenFor(key: string): number {
    if (this.keys.includes(key)) return this.outer.tokenFor(key);
    throw new LockArgumentError('This lock does not cover that key.', { key });
  }

  assertHeld(): void {
    this.outer.assertHeld();
  }

  extend(ttl?: number): Promise<void> {
    return this.outer.extend(ttl);
  }

  /** The outer lock's holder releases it. */
  release(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  toJSON(): object {
    const { keys, owner, fencingToken, state } = this;
    return { keys, owner, fencingToken, state };
  }
}
