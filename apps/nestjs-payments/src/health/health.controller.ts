import type { Locker } from '@holdfast/core';
import { InjectLocker } from '@holdfast/nestjs';
import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiProperty, ApiServiceUnavailableResponse } from '@nestjs/swagger';

class Health {
  @ApiProperty({ enum: ['ok'] })
  readonly status!: 'ok';
}

@Controller('health')
export class HealthController {
  constructor(@InjectLocker() private readonly locker: Locker) {}

  /** The store of the locks answers; otherwise its error is a 503. */
  @Get()
  @ApiOkResponse({ type: Health })
  @ApiServiceUnavailableResponse()
  async check(): Promise<Health> {
    await this.locker.inspect('health');
    return { status: 'ok' };
  }
}
