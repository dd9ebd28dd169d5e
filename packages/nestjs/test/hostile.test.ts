import 'reflect-metadata';
import { memoryStore, type Locker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { countedStore } from '@holdfast/test-servers';
import { Controller, Get, Injectable, Post, type ExecutionContext } from '@nestjs/common';
import { describe, expect, test } from 'vitest';
import { aLocker, call, gate, LogBook, serve, until } from './kit/index.ts';

const queryOf = (context: ExecutionContext): Record<string, string> =>
  context.switchToHttp().getRequest<{ query: Record<string, string> }>().query;

/** A query is at most some kB long: a client asks for so many keys of so many characters. */
const asked = ({ keys = '1', size = '1' }: Record<string, string>): string[] =>
  Array.from({ length: Number(keys) }, (_, index) => `secret:${index}${'x'.repeat(Number(size))}`);

let open = gate();

@Injectable()
class Service {
  @WithLock((keys: string[]) => keys, { wait: 0 })
  async run(_keys: string[]): Promise<string> {
    return 'ran';
  }
}

@Controller()
class Handlers {
  constructor(private readonly service: Service) {}

  @UseLock((context) => asked(queryOf(context)), { wait: 0 })
  @Get('request')
  request(): string {
    return 'ran';
  }

  @Get('method')
  method(): Promise<string> {
    return this.service.run(asked({ keys: '12000' }));
  }

  @UseLock('busy')
  @Post('busy')
  async busy(): Promise<string> {
    await open.opened;
    return 'ran';
  }
}

describe.each(['express', 'fastify'] as const)('on %s', (on) => {
  const boot = async (locker: Locker, log = new LogBook()): Promise<string> => {
    const imports = [LockModule.forRoot({ locker, shutdownTimeout: 0 })];
    const metadata = { imports, controllers: [Handlers], providers: [Service] };
    return (await serve(metadata, on, undefined, log)).url;
  };

  test('too many keys, or one too long, are a bad request that asks the store nothing', async () => {
    const counted = countedStore(memoryStore());
    const url = await boot(aLocker({ store: counted.store }));
    for (const path of ['request?keys=12000', 'request?size=70000', 'method']) {
      const { status, text } = await call('GET', `${url}/${path}`);
      expect(status).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ code: 'LOCK_INVALID_ARGUMENT' });
      expect(text).not.toContain('secret');
    }
    expect(counted.acquires).toBe(0);
  });

  test('a full queue refuses 50 requests with 503, and serves those in line', async () => {
    open = gate();
    const locker = aLocker({ maxWaiters: 1 });
    const log = new LogBook();
    const url = await boot(locker, log);
    const first = call('POST', `${url}/busy`);
    await until(async () => (await locker.inspect('busy')) !== null);
    const second = call('POST', `${url}/busy`);
    await until(async () => (await locker.inspect('busy'))?.waiters === 1);
    const refused = await Promise.all(
      Array.from({ length: 50 }, () => call('POST', `${url}/busy`)),
    );
    for (const { status, headers, text } of refused) {
      expect([status, headers.get('retry-after')]).toEqual([503, '1']);
      expect(JSON.parse(text)).toMatchObject({ code: 'LOCK_QUEUE_FULL' });
    }
    open.open();
    expect([(await first).status, (await second).status]).toEqual([201, 201]);
    expect(log.errors).toEqual([]);
  });
});
