// Handlers that send streams, events and responses of their own, each with the lock of a method and with
// that of an interceptor.
import type { ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import {
  Controller,
  Get,
  Injectable,
  Res,
  Sse,
  StreamableFile,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type MessageEvent,
  type NestInterceptor,
} from '@nestjs/common';
import { Subject, timeout, type Observable } from 'rxjs';
import { beforeEach } from 'vitest';
import { call, gate, serve, Work } from './index.ts';
import { TimedLock } from './timed-lock.ts';

/** What one test has to do with: the lock, and what the handlers send. */
class Stage extends TimedLock {
  readonly work = new Work();
  readonly source = new PassThrough();
  readonly values = new Subject<MessageEvent>();
  readonly slow = gate();
  readonly log: string[] = [];
  /** Of the lock that the handler saw. */
  signal: AbortSignal | undefined;
}

export let stage: Stage;

/** A new one for each test of the file. */
export function useStage(): void {
  beforeEach(() => {
    stage = new Stage();
  });
}

async function* rows(): AsyncGenerator<string> {
  try {
    stage.log.push('opened');
    yield 'a';
    await stage.slow.opened;
    yield 'b';
  } finally {
    stage.log.push('closed');
  }
}

const raw = (response: any): ServerResponse => response.raw ?? response;

@Injectable()
class Impatient implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(timeout({ each: 50 }));
  }
}

/** Each handler with the lock of a method, and with that of an interceptor. */
@Controller('method')
class MethodLocks {
  @Get('file')
  @WithLock('k', { wait: 0 })
  async file(): Promise<StreamableFile> {
    return new StreamableFile(stage.source);
  }

  @Get('rows')
  @WithLock('k', { wait: 0 })
  async *rows(): AsyncGenerator<string> {
    yield* rows();
  }

  @Sse('events')
  @WithLock('k', { wait: 0 })
  events(): Observable<MessageEvent> {
    return stage.values;
  }

  @Sse('late-events')
  @WithLock('k', { wait: 0 })
  async lateEvents(): Promise<Observable<MessageEvent>> {
    stage.signal = currentLock()?.signal;
    await stage.work.run('setup');
    return stage.values;
  }

  @Get('own')
  @WithLock('k', { wait: 0 })
  async own(@Res() response: unknown): Promise<void> {
    stage.source.pipe(raw(response));
  }

  @Get('slow')
  @WithLock('k', { wait: 0 })
  async slow(): Promise<string> {
    stage.signal = currentLock()?.signal;
    return stage.work.run('slow');
  }

  @Get('impatient')
  @UseInterceptors(Impatient)
  @WithLock('k', { wait: 0 })
  async impatient(): Promise<string> {
    return stage.work.run('impatient');
  }
}

@Controller('request')
class RequestLocks {
  @Get('file')
  @UseLock('k', { wait: 0 })
  async file(): Promise<StreamableFile> {
    return new StreamableFile(stage.source);
  }

  @Get('rows')
  @UseLock('k', { wait: 0 })
  rows(): AsyncGenerator<string> {
    return rows();
  }

  @Sse('events')
  @UseLock('k', { wait: 0 })
  events(): Observable<MessageEvent> {
    return stage.values;
  }

  @UseLock('k', { wait: 0 })
  @Sse('late-events')
  async lateEvents(): Promise<Observable<MessageEvent>> {
    stage.signal = currentLock()?.signal;
    await stage.work.run('setup');
    return stage.values;
  }

  @Get('own')
  @UseLock('k', { wait: 0 })
  own(@Res() response: unknown): void {
    stage.source.pipe(raw(response));
  }

  @Get('slow')
  @UseLock('k', { wait: 0 })
  async slow(): Promise<string> {
    stage.signal = currentLock()?.signal;
    return stage.work.run('slow');
  }

  @Get('impatient')
  @UseInterceptors(Impatient)
  @UseLock('k', { wait: 0 })
  async impatient(): Promise<string> {
    return stage.work.run('impatient');
  }
}

export const cases = (['express', 'fastify'] as const).flatMap((adapter) =>
  (['method', 'request'] as const).map((path) => ({ adapter, path })),
);

/** Resolves with the address of the handlers. */
export async function boot({ adapter, path }: (typeof cases)[number]): Promise<string> {
  const { url } = await serve(
    {
      imports: [LockModule.forRoot({ locker: stage.locker, shutdownTimeout: 0 })],
      controllers: [MethodLocks, RequestLocks],
    },
    adapter,
  );
  return `${url}/${path}`;
}

/** Whether another request finds the lock busy. */
export async function busy(url: string): Promise<boolean> {
  stage.work.end('slow');
  return (await call('GET', `${url}/slow`)).status === 423;
}
