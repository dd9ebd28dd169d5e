import { setTimeout as sleep } from 'node:timers/promises';
import type { Lock } from '@holdfast/core';
import { Injectable } from '@nestjs/common';
import { Storage } from '../storage/storage.ts';

const DELAY = Number(process.env['BANK_DELAY'] ?? 150);

/** Stands for somebody else's service: slow, and it does what it is asked, however often. */
@Injectable()
export class Bank {
  constructor(private readonly storage: Storage) {}

  /** Whoever asks for it holds the lock of the order, and has to hold it still when it is done. */
  async charge(order: string, amount: number, lock: Lock): Promise<void> {
    await sleep(DELAY, undefined, { signal: lock.signal });
    // By the clock, without I/O: true also if this process was frozen meanwhile.
    lock.assertHeld();
    await this.storage.append(`bank:${order}`, { amount });
  }

  /** What happened to an order's money. */
  async statement(order: string): Promise<{ amount: number }[]> {
    return this.storage.entries(`bank:${order}`);
  }
}
