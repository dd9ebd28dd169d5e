import 'reflect-metadata';
import { LockModule, WithLock } from '@holdfast/nestjs';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { record, type Walk } from './recorder.ts';

@Injectable()
class Payments {
  @WithLock((id: string) => `order:${id}`)
  async pay(id: string): Promise<string> {
    return id;
  }
}

@Module({ imports: [LockModule.forRoot()], providers: [Payments] })
class AppModule {}

export async function nestCall(): Promise<Walk> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const payments = app.get(Payments);
  await payments.pay('1');
  const walk = await record('@WithLock call, memory', () => payments.pay('1'));
  await app.close();
  return walk;
}
