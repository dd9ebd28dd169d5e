// Methods with the lock `k` that return whatever the test says.
import { currentLock, WithLock } from '@holdfast/nestjs';
import { Injectable, Logger } from '@nestjs/common';
import { Observable, of } from 'rxjs';
import { afterEach, beforeEach, vi } from 'vitest';
import { compile } from './index.ts';
import { TimedLock } from './timed-lock.ts';

/** What the methods return. */
export const method: { result: () => unknown } = { result: () => undefined };

/** Of the lock that the calling code runs under. */
export const keyNow = (): string => currentLock()?.key ?? 'none';

@Injectable()
class Service {
  /** Nothing tells what it returns before it has run, as in code without metadata. */
  @WithLock('k')
  plain() {
    return method.result() as any;
  }

  /** Its metadata tell. */
  @WithLock('k')
  declared(): Observable<unknown> {
    return method.result() as Observable<unknown>;
  }

  @WithLock('k')
  async later(): Promise<any> {
    return method.result();
  }

  @WithLock('k')
  async *generator(): AsyncGenerator<string> {
    yield* method.result() as AsyncGenerator<string>;
  }

  @WithLock('k', { onLocked: 'skip' })
  skipped(): Observable<unknown> {
    return method.result() as Observable<unknown>;
  }

  @WithLock('k', { onLocked: () => of('instead') })
  instead(): Observable<unknown> {
    return method.result() as Observable<unknown>;
  }

  @WithLock('k', { onLocked: 'skip' })
  async *skippedGenerator(): AsyncGenerator<string> {
    yield 'ran';
  }

  @WithLock('k', { wait: 0 })
  observedNow(): Observable<unknown> {
    return method.result() as Observable<unknown>;
  }
}

export let lock: TimedLock;
export let service: Service;
/** What is logged as a warning. */
export let warn: ReturnType<typeof vi.fn<(message: string) => void>>;

/** All of them anew for each test of the file. */
export function useService(): void {
  beforeEach(async () => {
    lock = new TimedLock();
    service = (await compile(lock.locker, { providers: [Service] })).get(Service);
    warn = vi.fn<(message: string) => void>();
    Logger.overrideLogger({ log() {}, error() {}, warn });
  });
  afterEach(() => {
    Logger.overrideLogger(true);
  });
}

/** An iterable that says under which lock its values are made. */
export async function* rows(log: string[] = [], wait: Promise<void> = Promise.resolve()) {
  try {
    log.push('opened');
    yield `first under ${keyNow()}`;
    await wait;
    yield `second under ${keyNow()}`;
  } finally {
    log.push('closed');
  }
}

export async function collect(iterable: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const one of iterable) all.push([one, keyNow()]);
  return all;
}

export const ALL = [
  ['first under k', 'none'],
  ['second under k', 'none'],
];
