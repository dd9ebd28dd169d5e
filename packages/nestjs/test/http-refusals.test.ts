// A request that does not get its lock is refused as Nest refuses requests, and quietly.
import { inspect } from 'node:util';
import {
  LockError,
  LockNotAcquiredError,
  LockStoreError,
  memoryStore,
  type Locker,
} from '@holdfast/core';
import {
  currentLock,
  InjectLocker,
  LockHttpException,
  LockInterceptor,
  LockModule,
  UseLock,
  WithLock,
  type LockModuleOptions,
  type UseLockOptions,
} from '@holdfast/nestjs';
import { faultyStore } from '@holdfast/testing';
import {
  Catch,
  Controller,
  Get,
  HttpException,
  HttpStatus,
  Injectable,
  Query,
  UseFilters,
  UseInterceptors,
  type ArgumentsHost,
  type ExceptionFilter,
  type ExecutionContext,
} from '@nestjs/common';
import { APP_FILTER, HttpAdapterHost } from '@nestjs/core';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  aLocker,
  aMoment,
  call,
  connect,
  gate,
  LogBook,
  serve,
  until,
  type Answer,
  type Gate,
} from './kit/index.ts';

const SECRET = 'patient:4711';

let locker: Locker;
let log: LogBook;
let caught: unknown[];
let hold: Gate;

beforeEach(() => {
  locker = aLocker();
  log = new LogBook();
  caught = [];
  hold = gate();
});

@Injectable()
class Service {
  @WithLock((id: string) => id, { wait: 0 })
  async run(_id: string): Promise<string> {
    return 'ran';
  }

  @WithLock(SECRET, { wait: 0, statusCode: 409, retryAfter: 7 })
  async other(): Promise<string> {
    return 'ran';
  }

  @WithLock('k', { ttl: 0 })
  async wrongTtl(): Promise<void> {}
}

/** The filter of Nest's own documentation. */
@Catch()
class CatchEverything implements ExceptionFilter {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const { httpAdapter } = this.host;
    const context = host.switchToHttp();
    const httpStatus =
      exception instanceof HttpException ? exception.getStatus() : HttpStatus.INTERNAL_SERVER_ERROR;
    caught.push(exception);
    httpAdapter.reply(context.getResponse(), { statusCode: httpStatus }, httpStatus);
  }
}
Reflect.defineMetadata('design:paramtypes', [HttpAdapterHost], CatchEverything);

@Catch(LockNotAcquiredError)
class CatchBusy implements ExceptionFilter {
  catch(exception: LockNotAcquiredError, host: ArgumentsHost): void {
    caught.push(exception);
    host
      .switchToHttp()
      .getResponse()
      .status(202)
      .send(`waited ${exception.waited >= 0}`);
  }
}

interface Asked {
  readonly query: { readonly key?: string; readonly ttl?: string };
}

const asked = (context: ExecutionContext): Asked => context.switchToHttp().getRequest<Asked>();

@Injectable()
class Computed extends LockInterceptor {
  protected override getKey(): string {
    return 'computed';
  }

  protected override getOptions(context: ExecutionContext): UseLockOptions {
    return { ttl: Number(asked(context).query.ttl) };
  }
}

@Controller()
class Handlers {
  constructor(
    private readonly service: Service,
    @InjectLocker() private readonly byHand: Locker,
  ) {}

  @Get('method')
  async method(@Query('key') key: string): Promise<string> {
    return this.service.run(key);
  }

  @UseLock((context) => asked(context).query.key as string, { wait: 0 })
  @Get('request')
  request(): string {
    return 'ran';
  }

  @Get('hand')
  async hand(@Query('key') key: string): Promise<string> {
    return this.byHand.withLock(key, { wait: 0 }, () => 'ran');
  }

  @Get('other')
  async other(): Promise<string> {
    return this.service.other();
  }

  @UseLock(SECRET, { wait: 0, statusCode: 429, retryAfter: 0.2 })
  @Get('other-request')
  otherRequest(): string {
    return 'ran';
  }

  @UseFilters(CatchBusy)
  @Get('caught')
  async caught(): Promise<string> {
    return this.service.run(SECRET);
  }

  /** An application that knows what to do about a busy lock. */
  @Get('handled')
  async handled(): Promise<string> {
    try {
      return await this.service.run(SECRET);
    } catch (error) {
      if (error instanceof LockNotAcquiredError)
        return `instead: ${error.key} ${error.waited >= 0}`;
      throw error;
    }
  }

  @UseInterceptors(Computed)
  @Get('computed')
  computed(): string {
    return 'ran';
  }

  @Get('wrong-ttl')
  async wrongTtl(): Promise<void> {
    return this.service.wrongTtl();
  }

  @UseLock('k', { ttl: 0 })
  @Get('wrong-ttl-of-request')
  wrongTtlOfRequest(): string {
    return 'ran';
  }

  @UseLock('waits')
  @Get('waits')
  waits(): string {
    caught.push('ran');
    return 'ran';
  }

  @UseLock('held')
  @Get('held')
  async held(): Promise<void> {
    const { signal } = currentLock()!;
    caught.push('began');
    await hold.opened;
    signal.throwIfAborted();
  }
}

type Refused = readonly [method: Answer, request: Answer, hand: Answer];

describe.each(['express', 'fastify'] as const)(
  'on %s, a request that does not get its lock',
  (on) => {
    const boot = async (
      options: Partial<LockModuleOptions> = {},
      filter?: typeof CatchEverything,
    ): Promise<string> => {
      const filters = filter === undefined ? [] : [{ provide: APP_FILTER, useClass: filter }];
      const { url } = await serve(
        {
          imports: [LockModule.forRoot({ locker, shutdownTimeout: 0, ...options } as never)],
          controllers: [Handlers],
          providers: [Service, ...filters],
        },
        on,
        undefined,
        log,
      );
      return url;
    };

    const ask = async (url: string, key = SECRET): Promise<Refused> => {
      const query = new URLSearchParams({ key }).toString();
      const paths = ['method', 'request', 'hand'] as const;
      const answers = await Promise.all(
        paths.map((path) => call('GET', `${url}/${path}?${query}`)),
      );
      return answers as unknown as Refused;
    };

    const refused = async (url: string): Promise<Refused> =>
      locker.withLock(SECRET, { reentry: 'ignore' }, () => ask(url));

    test('a refusal is a problem detail with the code and Retry-After, without the key', async () => {
      const url = await boot();
      for (const { status, headers, text } of await refused(url)) {
        expect([status, headers.get('retry-after')]).toEqual([423, '1']);
        expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
        expect(JSON.parse(text)).toEqual({
          type: 'about:blank',
          title: 'Locked',
          status: 423,
          detail: expect.any(String) as string,
          message: expect.any(String) as string,
          code: 'LOCK_NOT_ACQUIRED',
          retryAfter: 1,
        });
        expect(text).not.toContain(SECRET);
      }
    });

    test('a refusal is not logged by itself', async () => {
      const url = await boot();
      await refused(url);
      expect([log.errors, log.warnings]).toEqual([[], []]);
    });

    test('a request gets 503 with the code while the store is unavailable', async () => {
      const store = faultyStore(memoryStore());
      locker = aLocker({ store });
      const url = await boot();
      store.fail({ verb: 'acquire', times: Infinity });
      for (const { status, headers, text } of await ask(url)) {
        expect([status, headers.get('retry-after')]).toEqual([503, '1']);
        expect(JSON.parse(text)).toMatchObject({ status: 503, code: 'LOCK_STORE_UNAVAILABLE' });
        expect(text).not.toContain(SECRET);
      }
      store.heal();
      expect(log.errors).toEqual([]);
    });

    test('a request gets 503 with the code once the locker is closed', async () => {
      const url = await boot();
      await locker.close();
      for (const { status, headers, text } of await ask(url)) {
        expect([status, headers.get('retry-after')]).toEqual([503, '1']);
        expect(JSON.parse(text)).toMatchObject({ code: 'LOCKER_CLOSED' });
      }
      expect(log.errors).toEqual([]);
    });

    test('a request gets 503 with the code where too many wait already', async () => {
      locker = aLocker({ maxWaiters: 1 });
      const url = await boot();
      const other = await locker.lock('waits');
      const first = call('GET', `${url}/waits`);
      await until(async () => (await locker.inspect('waits'))?.waiters === 1);
      const { status, headers, text } = await call('GET', `${url}/waits`);
      expect([status, headers.get('retry-after')]).toEqual([503, '1']);
      expect(JSON.parse(text)).toMatchObject({ status: 503, code: 'LOCK_QUEUE_FULL' });
      await other.release();
      await expect(first).resolves.toMatchObject({ status: 200 });
      expect(log.errors).toEqual([]);
    });

    test('passes the catch-all filter of the documentation with its status', async () => {
      const url = await boot({}, CatchEverything);
      for (const { status, headers, text } of await refused(url)) {
        expect([status, headers.get('retry-after')]).toEqual([423, '1']);
        expect(headers.get('content-type')).toMatch(/^application\/json/);
        expect(JSON.parse(text)).toEqual({ statusCode: 423 });
      }
      for (const exception of caught as LockHttpException[]) {
        expect(exception).toBeInstanceOf(HttpException);
        expect(exception).toBeInstanceOf(LockHttpException);
        expect(exception.cause).toBeInstanceOf(LockNotAcquiredError);
        expect(exception.cause).not.toBeInstanceOf(HttpException);
        expect(exception.cause.key).toBe(SECRET);
      }
      expect(caught).toHaveLength(3);
      expect([log.errors, log.warnings]).toEqual([[], []]);
    });

    test('shows its key to no log that prints the exception', async () => {
      const url = await boot({}, CatchEverything);
      await refused(url);
      for (const exception of caught as LockHttpException[]) {
        const shown = [String(exception), exception.stack, JSON.stringify(exception)];
        // The cause is core's own error.
        shown.push(inspect(Object.defineProperty(exception, 'cause', { value: undefined })));
        expect(shown.join()).not.toContain(SECRET);
      }
    });

    test('a refusal is the lock error for filters and code that ask for one', async () => {
      const url = await boot();
      await locker.withLock(SECRET, async () => {
        await expect(call('GET', `${url}/caught`)).resolves.toMatchObject({
          status: 202,
          text: 'waited true',
        });
        await expect(call('GET', `${url}/handled`)).resolves.toMatchObject({
          status: 200,
          text: `instead: ${SECRET} true`,
        });
      });
    });

    test('a refusal has the status and the Retry-After of the decorator', async () => {
      const url = await boot();
      await locker.withLock(SECRET, async () => {
        const other = await call('GET', `${url}/other`);
        expect([other.status, other.headers.get('retry-after')]).toEqual([409, '7']);
        expect(JSON.parse(other.text)).toMatchObject({ title: 'Conflict', status: 409 });
        const request = await call('GET', `${url}/other-request`);
        expect([request.status, request.headers.get('retry-after')]).toEqual([429, '1']);
      });
    });

    test('a refusal has the status and the Retry-After of the module, unless the decorator has its own', async () => {
      const url = await boot({ statusCode: 409, retryAfter: 3 });
      for (const { status, headers } of await refused(url)) {
        expect([status, headers.get('retry-after')]).toEqual([409, '3']);
      }
      await locker.withLock(SECRET, async () => {
        await expect(call('GET', `${url}/other-request`)).resolves.toMatchObject({ status: 429 });
      });
    });

    test('a refusal is what the exceptionFactory makes, which knows the handler', async () => {
      const exceptionFactory = (error: LockError, context?: ExecutionContext): unknown =>
        new HttpException(`${error.code} in ${context?.getHandler().name}`, 418);
      const url = await boot({ exceptionFactory });
      const answers = await refused(url);
      expect(answers.map(({ status }) => status)).toEqual([418, 418, 418]);
      for (const [index, name] of ['method', 'request', 'hand'].entries()) {
        expect(answers[index]?.text).toContain(`LOCK_NOT_ACQUIRED in ${name}`);
      }
    });

    test('a refusal is the bare error where the exceptionFactory returns it', async () => {
      const url = await boot({ exceptionFactory: (error) => error }, CatchEverything);
      const answers = await refused(url);
      expect(answers.map(({ status }) => status)).toEqual([500, 500, 500]);
      for (const error of caught) expect(error).not.toBeInstanceOf(HttpException);
    });

    test('a request gets 400 with nothing but the code for a key that it made unusable', async () => {
      const url = await boot();
      for (const { status, text } of await ask(url, '')) {
        expect(status).toBe(400);
        expect(JSON.parse(text)).toMatchObject({
          title: 'Bad Request',
          code: 'LOCK_INVALID_ARGUMENT',
        });
        expect(text).not.toMatch(/key|string|function/);
      }
      const computed = await call('GET', `${url}/computed?ttl=-1`);
      expect(computed.status).toBe(400);
      expect(log.errors).toEqual([]);
    });

    test('the log says once, and by name, whose key is unusable', async () => {
      const url = await boot();
      await ask(url, '');
      await ask(url, '');
      expect(log.warnings).toHaveLength(3);
      const all = log.warnings.join('\n');
      expect(all).toMatch(/Handlers\.method answered 400.*@WithLock on Service\.run.*must return/);
      expect(all).toMatch(
        /Handlers\.request answered 400.*@UseLock on Handlers\.request.*must return/,
      );
      expect(all).toMatch(/Handlers\.hand answered 400/);
    });

    test.each(['wrong-ttl', 'wrong-ttl-of-request'])(
      'a mistake in the code, not in the request, is an internal error (%s)',
      async (path) => {
        const url = await boot();
        await expect(call('GET', `${url}/${path}`)).resolves.toMatchObject({ status: 500 });
        expect(log.errors).not.toEqual([]);
      },
    );

    test('leaves nothing in the log when its client leaves while it waits', async () => {
      const url = await boot({}, CatchEverything);
      const waiting: string[] = [];
      locker.on('waiting', ({ key }) => waiting.push(key));
      const other = await locker.lock('waits');
      const client = connect('GET', `${url}/waits`);
      await until(() => waiting.length === 1);
      client.leave();
      await until(() => caught.length === 1);
      const [exception] = caught as [LockHttpException];
      expect(exception).toBeInstanceOf(HttpException);
      expect([exception.getStatus(), exception.code]).toEqual([499, 'LOCK_ABORTED']);
      await other.release();
      await aMoment();
      expect(caught).toHaveLength(1);
      expect([log.errors, log.warnings]).toEqual([[], []]);
    });

    test('a client that leaves, waiting or running, is not logged without a filter either', async () => {
      const url = await boot();
      const waiting: string[] = [];
      locker.on('waiting', ({ key }) => waiting.push(key));
      const other = await locker.lock('waits');
      const first = connect('GET', `${url}/waits`);
      await until(() => waiting.length === 1);
      first.leave();
      await until(async () => (await locker.inspect('waits'))?.waiters === 0);
      await other.release();

      const second = connect('GET', `${url}/held`);
      await until(() => caught.length === 1);
      second.leave();
      await aMoment();
      hold.open();
      await until(async () => (await locker.inspect('held')) === null);
      await aMoment();
      expect([log.errors, log.warnings]).toEqual([[], []]);
    });
  },
);

test('outside of HTTP, the errors of locks stay what they are', async () => {
  const { app } = await serve({
    imports: [LockModule.forRoot({ locker })],
    providers: [Service],
  });
  const service = app.get(Service);
  await locker.withLock(SECRET, async () => {
    const error: unknown = await service.run(SECRET).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    expect(error).not.toBeInstanceOf(HttpException);
    expect((error as LockNotAcquiredError).status).toBe(423);
  });
  const store = faultyStore(memoryStore());
  store.fail({ verb: 'acquire', times: Infinity });
  const away = await serve({
    imports: [LockModule.forRoot({ locker: aLocker({ store }) })],
    providers: [Service],
  });
  await expect(away.app.get(Service).run('k')).rejects.toBeInstanceOf(LockStoreError);
  store.heal();
});
