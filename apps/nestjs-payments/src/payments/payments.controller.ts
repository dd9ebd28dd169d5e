import { UseLock } from '@holdfast/nestjs';
import { Body, Controller, Get, HttpCode, Param, ParseIntPipe, Post } from '@nestjs/common';
import { ApiBody, ApiNotFoundResponse, ApiOkResponse, ApiResponse } from '@nestjs/swagger';
import { Bank } from './bank.ts';
import { Payment, PaymentWithCharges, PayOrder } from './payment.ts';
import { PaymentsService } from './payments.service.ts';

interface OrderRequest {
  readonly params: { readonly order: string };
}

@Controller('payments')
export class PaymentsController {
  constructor(
    private readonly payments: PaymentsService,
    private readonly bank: Bank,
  ) {}

  @Post(':order')
  @HttpCode(200)
  @ApiBody({ type: PayOrder })
  @ApiOkResponse({ type: Payment })
  async pay(
    @Param('order') order: string,
    @Body('amount', ParseIntPipe) amount: number,
  ): Promise<Payment> {
    return this.payments.pay(order, amount);
  }

  /** Two refunds of one order at a time are a mistake of somebody's, who is told so at once. */
  @UseLock((context) => `order:${context.switchToHttp().getRequest<OrderRequest>().params.order}`, {
    wait: 0,
  })
  @Post(':order/refund')
  @HttpCode(200)
  @ApiOkResponse({ type: Payment })
  @ApiResponse({ status: 423, description: 'Something happens to this order right now' })
  async refund(@Param('order') order: string): Promise<Payment> {
    return this.payments.refund(order);
  }

  @Get(':order')
  @ApiOkResponse({ type: PaymentWithCharges })
  @ApiNotFoundResponse()
  async find(@Param('order') order: string): Promise<PaymentWithCharges> {
    const { amount, status, receipt } = await this.payments.find(order);
    const statement = await this.bank.statement(order);
    const charges = statement.filter((entry) => entry.amount > 0).length;
    return { order, amount, status, receipt, charges };
  }
}
