import { UseLock } from '@holdfast/nestjs';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Param,
  ParseIntPipe,
  Post,
  type ExecutionContext,
} from '@nestjs/common';
import { ApiBody, ApiNotFoundResponse, ApiOkResponse, ApiResponse } from '@nestjs/swagger';
import { Ledger } from '../storage/ledger.ts';
import { Captured, Payment, PaymentWithCharges, PayOrder } from './payment.ts';
import { PaymentsService } from './payments.service.ts';

interface OrderRequest {
  readonly params: { readonly order: string };
}

const orderKey = (context: ExecutionContext): string =>
  `order:${context.switchToHttp().getRequest<OrderRequest>().params.order}`;

@Controller('payments')
export class PaymentsController {
  constructor(
    private readonly payments: PaymentsService,
    private readonly ledger: Ledger,
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
  @UseLock(orderKey, { wait: 0 })
  @Post(':order/refund')
  @HttpCode(200)
  @ApiOkResponse({ type: Payment })
  @ApiResponse({ status: 423, description: 'Something happens to this order right now' })
  async refund(@Param('order') order: string): Promise<Payment> {
    return this.payments.refund(order);
  }

  /** A few at a time wait for each other; who would wait for longer is told to come again. */
  @UseLock(orderKey, { wait: 250, maxHold: 30_000 })
  @Post(':order/captures')
  @HttpCode(200)
  @ApiBody({ type: PayOrder })
  @ApiOkResponse({ type: Captured })
  @ApiResponse({ status: 423, description: 'Too much happens to this order right now' })
  async capture(
    @Param('order') order: string,
    @Body('amount', ParseIntPipe) amount: number,
  ): Promise<Captured> {
    return this.payments.capture(order, amount);
  }

  @Get(':order')
  @ApiOkResponse({ type: PaymentWithCharges })
  @ApiNotFoundResponse()
  async find(@Param('order') order: string): Promise<PaymentWithCharges> {
    const { amount, status, receipt } = await this.payments.find(order);
    const charged = await this.ledger.charges(order);
    const charges = charged.filter((cents) => cents > 0).length;
    return { order, amount, status, receipt, charges };
  }
}
