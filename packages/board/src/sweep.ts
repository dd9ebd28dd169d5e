import type { Locker, LockInfo } from '@holdfast/core';
import type { LockerState } from './protocol.ts';

/** How many locks are asked for at once. */
const PAGE = 1_000;
/** How long one step may take, in ms: a twentieth of the time. */
const BUDGET = 50;

/** Goes over all that a locker's namespace holds, a short step at a time, again and again. */
export class Sweep {
  /** By key. */
  private known = new Map<string, LockInfo>();
  private fresh = new Map<string, LockInfo>();
  private cursor: string | undefined;
  private complete = false;
  private error: string | undefined;
  private listable = true;

  constructor(
    readonly name: string,
    readonly locker: Locker,
  ) {}

  get locks(): Iterable<LockInfo> {
    return this.known.values();
  }

  get state(): LockerState {
    const { name, complete, error, listable } = this;
    return { id: name, name, complete, error, held: listable ? this.known.size : undefined };
  }

  async step(): Promise<void> {
    if (!this.listable) return;
    try {
      const startedAt = performance.now();
      do {
        const page = await this.locker.list({ limit: PAGE, cursor: this.cursor });
        for (const lock of page.locks) {
          this.fresh.set(lock.key, lock);
          // What a first round has found so far is better than nothing, and what is newer is truer.
          this.known.set(lock.key, lock);
        }
        this.cursor = page.cursor;
      } while (this.cursor !== undefined && performance.now() - startedAt < BUDGET);
      this.error = undefined;
      if (this.cursor === undefined) this.finish();
    } catch (error) {
      this.cursor = undefined;
      this.fresh = new Map();
      const { code, message } = error as { code?: string; message: string };
      if (code === 'LOCK_INVALID_ARGUMENT') this.listable = false;
      else this.error = message;
    }
  }

  private finish(): void {
    this.known = this.fresh;
    this.fresh = new Map();
    this.complete = true;
  }
}
