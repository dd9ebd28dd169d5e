import { assertLocked, WithLock } from '@holdfast/nestjs';
import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';
import { Storage } from '../storage/storage.ts';
import { Bank } from './bank.ts';
import type { Payment } from './payment.ts';

@Injectable()
export class PaymentsService {
  constructor(
    private readonly storage: Storage,
    private readonly bank: Bank,
  ) {}

  async find(order: string): Promise<Payment> {
    const payment = await this.storage.read<Payment>(`payment:${order}`);
    if (payment === undefined) throw new NotFoundException('This order has not been paid.');
    return payment;
  }

  /** Who pays at the same time, on whatever replica, waits for the first and gets its receipt. */
  @WithLock((order: string) => `order:${order}`)
  async pay(order: string, amount: number): Promise<Payment> {
    const paid = await this.storage.read<Payment>(`payment:${order}`);
    if (paid !== undefined) return paid;
    const lock = assertLocked(`order:${order}`);
    await this.bank.charge(order, amount, lock);
    const receipt = `R-${lock.fencingToken}`;
    const payment: Payment = { order, amount, status: 'paid', receipt };
    await this.storage.write(`payment:${order}`, payment);
    await this.storage.append('payments', payment);
    return payment;
  }

  /** Whoever calls it must hold the lock of the order. */
  async refund(order: string): Promise<Payment> {
    const lock = assertLocked(`order:${order}`);
    const { amount, status, receipt } = await this.find(order);
    if (status === 'refunded') throw new ConflictException('It was refunded already.');
    await this.bank.charge(order, -amount, lock);
    const refunded: Payment = { order, amount, status: 'refunded', receipt };
    await this.storage.write(`payment:${order}`, refunded);
    return refunded;
  }
}
