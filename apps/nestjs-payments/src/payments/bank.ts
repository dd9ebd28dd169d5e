import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Storage } from '../storage/storage.ts';

const DELAY = Number(process.env['BANK_DELAY'] ?? 150);

/** Stands for somebody else's service: slow, and it does what it is asked, however often. */
@Injectable()
export class Bank {
  constructor(private readonly storage: Storage) {}

  async charge(order: string, amount: number, signal: AbortSignal): Promise<void> {
    await sleep(DELAY, undefined, { signal });
    await this.storage.append(`bank:${order}`, { amount });
  }

  async refund(order: string, amount: number): Promise<void> {
    await sleep(DELAY);
    await this.storage.append(`bank:${order}`, { amount: -amount });
  }

  /** What happened to an order's money. */
  async statement(order: string): Promise<{ amount: number }[]> {
    return this.storage.entries(`bank:${order}`);
  }
}
