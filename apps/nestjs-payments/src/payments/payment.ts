import { ApiProperty } from '@nestjs/swagger';

export class PayOrder {
  @ApiProperty({ description: 'In cents', example: 1_999 })
  readonly amount!: number;
}

export class Payment {
  @ApiProperty()
  readonly order!: string;

  @ApiProperty({ description: 'In cents' })
  readonly amount!: number;

  @ApiProperty({ enum: ['paid', 'refunded'] })
  readonly status!: 'paid' | 'refunded';

  @ApiProperty({ description: 'With the fencing token of the lock under which it was paid' })
  readonly receipt!: string;
}

export class PaymentWithCharges extends Payment {
  @ApiProperty({ description: 'How often the bank was asked for the money' })
  readonly charges!: number;
}

export class Captured {
  @ApiProperty()
  readonly order!: string;

  @ApiProperty({ description: 'All that has been captured, in cents' })
  readonly captured!: number;
}
