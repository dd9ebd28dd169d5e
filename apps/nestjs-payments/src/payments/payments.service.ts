import { assertLocked, WithLock } from '@holdfast/nestjs';
import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';
import { Ledger } from '../storage/ledger.ts';
import { Bank } from './bank.ts';
import type { Captured, Payment } from './payment.ts';

@Injectable()
export class PaymentsService {
  constructor(
    private readonly ledger: Ledger,
    private readonly bank: Bank,
  ) {}

  async find(order: string): Promise<Payment> {
    const payment = await this.ledger.payment(order);
    if (payment === undefined) throw new NotFoundException('This order has not been paid.');
    return payment;
  }

  /** Who pays at the same time, on whatever replica, waits for the first and gets its receipt. */
  @WithLock((order: string) => `order:${order}`)
  async pay(order: string, amount: number): Promise<Payment> {
    const paid = await this.ledger.payment(order);
    if (paid !== undefined) return paid;
    const receipt = `R-${assertLocked(`order:${order}`).fencingToken}`;
    const payment: Payment = { order, amount, status: 'paid', receipt };
    await this.charge(order, amount, { amount, status: 'paid', receipt });
    return payment;
  }

  /** Whoever calls it must hold the lock of the order. */
  async refund(order: string): Promise<Payment> {
    const { amount, status, receipt } = await this.find(order);
    if (status === 'refunded') throw new ConflictException('It was refunded already.');
    await this.charge(order, -amount, { status: 'refunded' });
    return { order, amount, status: 'refunded', receipt };
  }

  /** Takes a part of an order's price. Whoever calls it must hold the lock of the order. */
  async capture(order: string, amount: number): Promise<Captured> {
    const captured = (await this.ledger.captured(order)) + amount;
    await this.charge(order, amount, { captured });
    return { order, captured };
  }

  /** What was read before stays true until it is written, or the write is refused. */
  private async charge(
    order: string,
    charge: number,
    set: Readonly<Record<string, string | number>>,
  ): Promise<void> {
    const lock = assertLocked(`order:${order}`);
    await this.bank.approve(lock);
    // By the clock, without I/O: true also if this process was frozen meanwhile.
    lock.assertHeld();
    // And if it is frozen right here, the table refuses its token.
    await this.ledger.write(order, lock.fencingToken, { charge, set });
  }
}
