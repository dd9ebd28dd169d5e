import { ApiProperty } from '@nestjs/swagger';

export class Report {
  @ApiProperty({ description: 'When it was due', format: 'date-time' })
  readonly tick!: string;

  @ApiProperty()
  readonly payments!: number;

  @ApiProperty({ description: 'In cents' })
  readonly total!: number;

  @ApiProperty({ description: 'Which replica made it' })
  readonly by!: string;
}
