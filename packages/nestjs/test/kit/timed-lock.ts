import { memoryStore } from '@holdfast/core';
import { virtualClock } from '@holdfast/testing';
import { aLocker, isFree, until } from './index.ts';

const TTL = 10_000;

/** A locker whose time the test moves, and what becomes of its lock `k`. */
export class TimedLock {
  readonly clock = virtualClock();
  readonly locker = aLocker({
    ttl: TTL,
    clock: this.clock,
    store: memoryStore({ clock: this.clock }),
  });

  isFree(): Promise<boolean> {
    return isFree(this.locker, 'k');
  }

  /** Without any time passing. */
  untilFree(): Promise<void> {
    return until(() => this.isFree());
  }

  /** Lets so much time pass that the lock is held only if it is renewed. */
  outlast(): Promise<void> {
    return this.clock.advance(2 * TTL);
  }

  /** Lets time pass until the lease is over: it is renewed no more. */
  async untilExpired(): Promise<void> {
    await until(async () => {
      await this.clock.advance(TTL / 10);
      return this.isFree();
    });
  }
}
