// What a client finds that asks again as soon as it has its answer, when a release takes its time.
import { memoryStore, type Locker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { faultyStore } from '@holdfast/testing';
import { Controller, Get, Res } from '@nestjs/common';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, call, serve } from './kit/index.ts';

let locker: Locker;

beforeEach(() => {
  const store = faultyStore(memoryStore());
  store.delay(150, { verb: 'release', times: Infinity });
  locker = aLocker({ store, handoff: false });
});

interface AnyResponse {
  send(body: string): unknown;
  header(name: string, value: string): unknown;
}

@Controller()
class Handlers {
  @Get('method')
  @WithLock('k', { wait: 0 })
  async method(): Promise<string> {
    return 'ran';
  }

  @UseLock('k', { wait: 0 })
  @Get('request')
  request(): string {
    return 'ran';
  }

  @UseLock('k', { wait: 0 })
  @Get('passthrough')
  passthrough(@Res({ passthrough: true }) response: AnyResponse): string {
    response.header('x-own', 'yes');
    return 'ran';
  }

  @UseLock('k', { wait: 5_000 })
  @Get('own')
  own(@Res() response: AnyResponse): void {
    response.send('ran');
  }
}

describe.each(['express', 'fastify'] as const)('on %s, the next request of a client', (on) => {
  test.each(['method', 'request', 'passthrough', 'own'])(
    'finds the lock that its last one had: %s',
    async (path) => {
      const { url } = await serve(
        { imports: [LockModule.forRoot({ locker })], controllers: [Handlers] },
        on,
      );
      for (let count = 0; count < 3; count += 1) {
        await expect(call('GET', `${url}/${path}`)).resolves.toMatchObject({ status: 200 });
      }
    },
  );
});
