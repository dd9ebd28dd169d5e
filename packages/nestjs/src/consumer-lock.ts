import type { LockUse, Use } from './lock-use.ts';

/** The outcome of asking for a lock: its use, or what stands for the result because the lock is busy. */
export type Acquired = { readonly lockUse: LockUse } | { readonly value: unknown };

/** Asks for a lock, until `control` is aborted. */
export type Acquire = (control: AbortController) => Promise<Acquired>;

/** The outcome of beginning to consume a result. */
export type Begun = { readonly use: Use } | { readonly value: unknown };

/**
 * The lock for a result that is consumed after its method has returned: the first consumer gets the one
 * kept for it, if that is still held, and later ones acquire their own.
 */
export class ConsumerLock {
  constructor(
    readonly acquire: Acquire,
    private kept?: Use,
  ) {}

  async begin(control: AbortController): Promise<Begun> {
    const { kept } = this;
    this.kept = undefined;
    if (kept?.begin() === true) return { use: kept };
    void kept?.end();
    const acquired = await this.acquire(control);
    return 'lockUse' in acquired ? { use: acquired.lockUse.begin() } : acquired;
  }

  /** Nobody will consume the result. */
  drop(): Promise<void> {
    const { kept } = this;
    this.kept = undefined;
    return kept?.end() ?? Promise.resolve();
  }
}
