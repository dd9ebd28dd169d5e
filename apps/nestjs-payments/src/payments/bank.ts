import { setTimeout as sleep } from 'node:timers/promises';
import type { Lock } from '@holdfast/core';
import { Injectable } from '@nestjs/common';

const DELAY = Number(process.env['BANK_DELAY'] ?? 150);

/** Stands for somebody else's service: slow. */
@Injectable()
export class Bank {
  /** Whoever asks holds the lock of the order, and has to hold it still when the bank is done. */
  async approve({ signal }: Lock): Promise<void> {
    try {
      await sleep(DELAY, undefined, { signal });
    } catch (error) {
      // Why the lock is over says more than that the wait is.
      throw signal.aborted ? signal.reason : error;
    }
  }
}
