import type { Locker, LockOptions } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get, Injectable } from '@nestjs/common';
import { expect, test } from 'vitest';
import { aLocker, call, serve } from './kit/index.ts';

/** A locker that tells which options it was asked with. */
function recording(): { locker: Locker; asked: (LockOptions | undefined)[] } {
  const locker = aLocker();
  const asked: (LockOptions | undefined)[] = [];
  const lock = locker.lock.bind(locker);
  locker.lock = (key, options) => {
    asked.push(options);
    return lock(key, options);
  };
  return { locker, asked };
}

const onLost = (): void => {};
const options = {
  ttl: 5_000,
  wait: 100,
  maxHold: 60_000,
  holdAtLeast: 1,
  reentry: 'ignore',
  onLost,
} as const;
/** Newer versions of core have more. */
const newer = { ...options, label: 'who' };

@Injectable()
class Service {
  @WithLock('method', newer)
  async run(): Promise<string> {
    return 'ran';
  }
}

@Controller()
class Requests {
  constructor(private readonly service: Service) {}

  @UseLock('request', { ...newer, statusCode: 409, retryAfter: 2, abortOnDisconnect: true })
  @Get()
  async get(): Promise<string> {
    return this.service.run();
  }
}

test('the decorators pass on all options of a lock, and none of their own', async () => {
  const { locker, asked } = recording();
  const { url } = await serve({
    imports: [LockModule.forRoot({ locker })],
    controllers: [Requests],
    providers: [Service],
  });
  await expect(call('GET', url)).resolves.toMatchObject({ status: 200, text: 'ran' });
  const signal = expect.any(AbortSignal) as AbortSignal;
  expect(asked).toEqual([
    { ...newer, signal },
    { ...newer, signal },
  ]);
});
