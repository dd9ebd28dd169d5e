import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse } from '@nestjs/swagger';
import { Report } from './report.ts';
import { ReportsService } from './reports.service.ts';

@Controller('reports')
export class ReportsController {
  constructor(private readonly reports: ReportsService) {}

  @Get()
  @ApiOkResponse({ type: [Report] })
  async list(): Promise<Report[]> {
    return this.reports.list();
  }
}
