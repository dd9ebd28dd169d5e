import type { Locker } from '@holdfast/core';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get } from '@nestjs/common';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  aLocker,
  aMoment,
  call,
  connect,
  isFree,
  serve,
  until,
  untilFree,
  Work,
} from './kit/index.ts';

let locker: Locker;
let work: Work;
/** Keys, in the order in which locks were taken. */
let taken: string[];

beforeEach(() => {
  locker = aLocker();
  work = new Work();
  taken = [];
  locker.on('acquired', ({ keys }) => taken.push(keys.join()));
});

const lockNow = (): unknown => ({ keys: currentLock()?.keys, label: currentLock()?.label });

@UseLock('class')
@Controller('locked')
class LockedController {
  @Get('plain')
  async plain(): Promise<unknown> {
    return lockNow();
  }

  @UseLock('method')
  @Get('more')
  async more(): Promise<unknown> {
    return lockNow();
  }

  @UseLock('class')
  @Get('same')
  async same(): Promise<unknown> {
    return lockNow();
  }

  @WithLock('class')
  @Get('method')
  async method(): Promise<unknown> {
    return lockNow();
  }

  @Get('slow')
  async slow(): Promise<unknown> {
    return work.run('slow');
  }
}

const boot = async (): Promise<string> => {
  const { url } = await serve({
    imports: [LockModule.forRoot({ locker, shutdownTimeout: 0 })],
    controllers: [LockedController],
  });
  return url;
};

const get = async (url: string): Promise<unknown> => {
  const { status, text } = await call('GET', url);
  expect(status).toBe(200);
  return JSON.parse(text);
};

describe('a controller with a lock', () => {
  test('a lock on a controller is for all its handlers, besides their own', async () => {
    const url = await boot();
    await expect(get(`${url}/locked/plain`)).resolves.toMatchObject({ keys: ['class'] });
    await expect(get(`${url}/locked/more`)).resolves.toMatchObject({ keys: ['method'] });
    expect(taken.splice(0)).toEqual(['class', 'class', 'method']);
    await get(`${url}/locked/same`);
    await get(`${url}/locked/method`);
    expect(taken).toEqual(['class', 'class']);
  });

  test('a lock on a controller is held while a handler runs whose client has left', async () => {
    const url = await boot();
    const client = connect('GET', `${url}/locked/slow`);
    await until(() => work.begun.length === 1);
    client.leave();
    await aMoment();
    await expect(isFree(locker, 'class')).resolves.toBe(false);
    work.end('slow');
    await untilFree(locker, 'class');
  });
});
