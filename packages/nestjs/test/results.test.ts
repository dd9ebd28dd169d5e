import { createReadStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { currentLock, WithLock } from '@holdfast/nestjs';
import type { Locker } from '@holdfast/core';
import { Injectable, Logger, StreamableFile } from '@nestjs/common';
import {
  concat,
  defer,
  firstValueFrom,
  from,
  isObservable,
  lastValueFrom,
  map,
  merge,
  NEVER,
  Observable,
  of,
  Subject,
  take,
  toArray,
} from 'rxjs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  aLocker,
  aMoment,
  compile,
  garbageCollector,
  gate,
  isFree,
  until,
  untilFree,
} from './kit/index.ts';

/** Short, for results that nobody consumes. */
const TTL = 200;

let locker: Locker;
/** What the methods return. */
let result: () => unknown = () => undefined;

const keyNow = (): string => currentLock()?.key ?? 'none';
const free = (): Promise<boolean> => isFree(locker, 'k');

@Injectable()
class Service {
  /** Nothing tells what it returns before it has run, as in code without metadata. */
  @WithLock('k')
  plain() {
    return result() as any;
  }

  /** Its metadata tell. */
  @WithLock('k')
  declared(): Observable<unknown> {
    return result() as Observable<unknown>;
  }

  @WithLock('k')
  async later(): Promise<any> {
    return result();
  }

  @WithLock('k')
  async *generator(): AsyncGenerator<string> {
    yield* result() as AsyncGenerator<string>;
  }

  @WithLock('k', { onLocked: 'skip' })
  skipped(): Observable<unknown> {
    return result() as Observable<unknown>;
  }

  @WithLock('k', { onLocked: () => of('instead') })
  instead(): Observable<unknown> {
    return result() as Observable<unknown>;
  }

  @WithLock('k', { onLocked: 'skip' })
  async *skippedGenerator(): AsyncGenerator<string> {
    yield 'ran';
  }

  @WithLock('k', { wait: 0 })
  observedNow(): Observable<unknown> {
    return result() as Observable<unknown>;
  }
}

let service: Service;
let warn: ReturnType<typeof vi.fn<(message: string) => void>>;

beforeEach(async () => {
  locker = aLocker({ ttl: TTL });
  service = (await compile(locker, { providers: [Service] })).get(Service);
  warn = vi.fn<(message: string) => void>();
  Logger.overrideLogger({ log() {}, error() {}, warn });
});

afterEach(() => {
  Logger.overrideLogger(true);
});

describe.each<{ how: string; observe: () => Observable<unknown> }>([
  { how: 'declared', observe: () => service.declared() },
  { how: 'not declared', observe: () => service.plain() as Observable<unknown> },
])('an Observable that is returned ($how)', ({ observe }) => {
  test('takes the lock when it is subscribed, until it is complete', async () => {
    const values = new Subject<string>();
    result = () => defer(() => concat(of(keyNow()), values));
    const observed = observe();
    expect(isObservable(observed)).toBe(true);
    const all = lastValueFrom(observed.pipe(toArray()));
    await until(() => values.observed);
    await expect(free()).resolves.toBe(false);
    values.next('x');
    // Longer than its ttl: it is renewed.
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(free()).resolves.toBe(false);
    values.complete();
    await expect(all).resolves.toEqual(['k', 'x']);
    await expect(free()).resolves.toBe(true);
  });

  test('lets it go when it fails, with the same error', async () => {
    const error = new Error('of the source');
    result = () => defer(() => Promise.reject(error));
    await expect(lastValueFrom(observe())).rejects.toBe(error);
    await expect(free()).resolves.toBe(true);
  });

  test('fails if the method throws', async () => {
    const error = new Error('of the method');
    result = () => {
      throw error;
    };
    await expect(lastValueFrom(observe())).rejects.toBe(error);
    await expect(free()).resolves.toBe(true);
  });

  test('lets it go when it is unsubscribed, after the source', async () => {
    let freeAtTeardown: Promise<boolean> | undefined;
    const torn = gate();
    result = () =>
      new Observable(() => () => {
        freeAtTeardown = free();
        torn.open();
      });
    const subscription = observe().subscribe();
    await until(async () => !(await free()));
    subscription.unsubscribe();
    await torn.opened;
    await expect(freeAtTeardown).resolves.toBe(false);
    await untilFree(locker, 'k');
  });

  test('lets it go when its subscriber has enough while it is being subscribed', async () => {
    result = () =>
      new Observable<number>((subscriber) => {
        for (let n = 0; !subscriber.closed; n += 1) subscriber.next(n);
      });
    await expect(firstValueFrom(observe())).resolves.toBe(0);
    await untilFree(locker, 'k');
  });

  test('does not wait for the lock any more when it is unsubscribed', async () => {
    let opened = 0;
    result = () => {
      opened += 1;
      return of('x');
    };
    const other = await locker.lock('k');
    const subscription = observe().subscribe();
    await aMoment();
    subscription.unsubscribe();
    await other.release();
    await aMoment();
    expect(opened).toBe(0);
    await expect(free()).resolves.toBe(true);
  });

  test('runs for each subscriber in turn', async () => {
    let running = 0;
    let most = 0;
    result = () =>
      defer(async () => {
        running += 1;
        most = Math.max(most, running);
        await aMoment();
        running -= 1;
        return keyNow();
      });
    const observed = observe();
    await expect(
      lastValueFrom(merge(observed, observed, from(observed)).pipe(toArray())),
    ).resolves.toEqual(['k', 'k', 'k']);
    expect(most).toBe(1);
  });

  test('does not run what its subscriber does under the lock', async () => {
    result = () => of(1);
    const inside = observe().pipe(map(() => keyNow()));
    await expect(lastValueFrom(inside)).resolves.toBe('none');
  });
});

describe('an Observable', () => {
  test('that is declared and never subscribed takes nothing', async () => {
    let ran = false;
    result = () => {
      ran = true;
      return NEVER;
    };
    service.declared();
    const derived = (service.plain() as Observable<unknown>).pipe(take(1));
    await aMoment();
    expect(ran).toBe(false);
    expect(derived).toBeInstanceOf(Observable);
    await expect(free()).resolves.toBe(true);
  });

  test('that a promise resolves to keeps the lock from the method to its end', async () => {
    const values = new Subject<string>();
    result = () => values;
    const observed = (await service.later()) as Observable<unknown>;
    await expect(free()).resolves.toBe(false);
    const all = lastValueFrom(observed.pipe(toArray()));
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(free()).resolves.toBe(false);
    values.complete();
    await expect(all).resolves.toEqual([]);
    await expect(free()).resolves.toBe(true);
    // A second time it takes the lock anew.
    await expect(lastValueFrom(observed, { defaultValue: 'none' })).resolves.toBe('none');
  });

  test('that a promise resolves to and nobody subscribes is freed by the ttl, with a warning', async () => {
    result = () => of(1);
    const observed = await service.later();
    await expect(free()).resolves.toBe(false);
    await untilFree(locker, 'k');
    await until(() => warn.mock.calls.length === 1);
    expect(warn.mock.calls[0]?.[0]).toMatch(/Nobody consumed/);
    // Late, it takes the lock then.
    result = () => of(2);
    const other = await locker.lock('k');
    const late = lastValueFrom(observed);
    await aMoment();
    await other.release();
    await expect(late).resolves.toBe(1);
  });

  test('that is awaited first takes the lock when it is subscribed', async () => {
    result = () => defer(() => of(keyNow()));
    const observed = await (service.plain() as Promise<Observable<unknown>>);
    await expect(free()).resolves.toBe(true);
    await expect(lastValueFrom(observed)).resolves.toBe('k');
    await expect(free()).resolves.toBe(true);
  });

  test('that is skipped has no values; or those that stand for it', async () => {
    result = () => of('ran');
    const other = await locker.lock('k');
    const all = (values: Observable<unknown>) => lastValueFrom(values.pipe(toArray()));
    await expect(all(service.skipped())).resolves.toEqual([]);
    await expect(all(service.instead())).resolves.toEqual(['instead']);
    await expect(all(service.observedNow())).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
    await other.release();
    await expect(all(service.skipped())).resolves.toEqual(['ran']);
  });
});

describe('a result of which nothing is known before', () => {
  test('is a promise like any other', async () => {
    result = async () => keyNow();
    const value = service.plain() as Promise<unknown>;
    expect(value).toBeInstanceOf(Promise);
    expect(value.then((n) => n).constructor).toBe(Promise);
    await expect(value).resolves.toBe('k');
    await expect((service.plain() as Promise<unknown>).finally(() => {})).resolves.toBe('k');
    const error = new Error('of the method');
    result = async () => Promise.reject(error);
    await expect(service.plain()).rejects.toBe(error);
    await expect((service.plain() as Promise<unknown>).catch((e: unknown) => e)).resolves.toBe(
      error,
    );
    await expect(free()).resolves.toBe(true);
  });

  test('that is an Observable or an iterable keeps nothing until it is consumed, however late', async () => {
    result = () => defer(() => of(keyNow()));
    const observed = service.plain() as Observable<unknown>;
    await aMoment();
    result = () => rows();
    const iterated = service.plain() as AsyncGenerator;
    await aMoment();
    await expect(free()).resolves.toBe(true);
    const other = await locker.lock('k');
    const late = Promise.all([lastValueFrom(observed), collect(iterated)]);
    await aMoment();
    await other.release();
    await expect(late).resolves.toEqual(['k', ALL]);
    await expect(lastValueFrom(observed)).resolves.toBe('k');
    await expect(free()).resolves.toBe(true);
  });

  test('runs once, however often it is awaited', async () => {
    let runs = 0;
    result = async () => (runs += 1);
    const value = service.plain() as Promise<number>;
    await expect(Promise.all([value, value, value.then((n) => n)])).resolves.toEqual([1, 1, 1]);
  });

  test('a promise that is subscribed has one value', async () => {
    result = async () => keyNow();
    await expect(lastValueFrom(service.plain() as Observable<unknown>)).resolves.toBe('k');
    await expect(lastValueFrom(from(service.plain() as Promise<unknown>))).resolves.toBe('k');
    await expect(free()).resolves.toBe(true);
  });
});

async function* rows(log: string[] = [], wait: Promise<void> = Promise.resolve()) {
  try {
    log.push('opened');
    yield `first under ${keyNow()}`;
    await wait;
    yield `second under ${keyNow()}`;
  } finally {
    log.push('closed');
  }
}

async function collect(iterable: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const one of iterable) all.push([one, keyNow()]);
  return all;
}

const ALL = [
  ['first under k', 'none'],
  ['second under k', 'none'],
];

describe.each<{ how: string; iterate: () => AsyncGenerator }>([
  { how: 'an async generator', iterate: () => service.generator() },
  { how: 'a function', iterate: () => service.plain() as AsyncGenerator },
])('an iterable that $how returns', ({ iterate }) => {
  test('takes the lock when it is pulled, until it is done', async () => {
    const slow = gate();
    result = () => rows([], slow.opened);
    const all = collect(iterate());
    await until(async () => !(await free()));
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(free()).resolves.toBe(false);
    slow.open();
    await expect(all).resolves.toEqual(ALL);
    await expect(free()).resolves.toBe(true);
  });

  test('lets it go when its consumer leaves, and closes the source', async () => {
    const log: string[] = [];
    result = () => rows(log);
    for await (const row of iterate()) {
      expect(row).toBe('first under k');
      break;
    }
    expect(log).toEqual(['opened', 'closed']);
    await expect(free()).resolves.toBe(true);
  });

  test('lets it go when it fails, with the same error', async () => {
    const error = new Error('of the source');
    result = async function* fails() {
      yield 1;
      throw error;
    };
    await expect(collect(iterate())).rejects.toBe(error);
    await expect(free()).resolves.toBe(true);
  });

  test('takes nothing if it is never pulled', async () => {
    let ran = false;
    result = () => {
      ran = true;
      return rows();
    };
    const iterator = iterate()[Symbol.asyncIterator]();
    await aMoment();
    await expect(iterator.return?.('x')).resolves.toEqual({ done: true, value: 'x' });
    await expect(iterator.next()).resolves.toMatchObject({ done: true });
    expect(ran).toBe(false);
    await expect(free()).resolves.toBe(true);
  });
});

describe('an async iterable', () => {
  test('is a generator to those who look', async () => {
    result = () => rows();
    const generator = service.generator();
    expect(generator[Symbol.asyncIterator]()).toBe(generator);
    expect(Object.prototype.toString.call(generator)).toBe('[object AsyncGenerator]');
    await expect(generator.next()).resolves.toEqual({ done: false, value: 'first under k' });
    const error = new Error('thrown in');
    await expect(generator.throw(error)).rejects.toBe(error);
    await expect(generator.next()).resolves.toMatchObject({ done: true });
    await expect(free()).resolves.toBe(true);
    await expect(service.generator().throw(error)).rejects.toBe(error);
  });

  test('that a promise resolves to keeps the lock from the method to its end', async () => {
    const slow = gate();
    result = () => rows([], slow.opened);
    const iterable = (await service.later()) as AsyncGenerator;
    await expect(free()).resolves.toBe(false);
    const all = collect(iterable);
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(free()).resolves.toBe(false);
    slow.open();
    await expect(all).resolves.toEqual(ALL);
    await expect(free()).resolves.toBe(true);
  });

  test('that a promise resolves to and nobody pulls is freed by the ttl; late, it takes the lock', async () => {
    result = () => rows();
    const iterable = (await service.later()) as AsyncGenerator;
    await untilFree(locker, 'k');
    const other = await locker.lock('k');
    const all = collect(iterable);
    await aMoment();
    await other.release();
    await expect(all).resolves.toEqual(ALL);
    await expect(free()).resolves.toBe(true);
  });

  test('that a promise resolves to and that is closed unread is closed, and the lock free', async () => {
    const source = rows();
    result = () => source;
    const iterable = (await service.later()) as AsyncGenerator;
    await iterable.return(undefined);
    await expect(free()).resolves.toBe(true);
    await expect(source.next()).resolves.toEqual({ done: true, value: undefined });
  });

  test('can have more to it', async () => {
    class Page implements AsyncIterable<string> {
      readonly #items = ['a', 'b'];
      readonly total = 2;

      first(): string | undefined {
        return this.#items[0];
      }

      async *[Symbol.asyncIterator](): AsyncGenerator<string> {
        yield* this.#items;
      }
    }
    result = () => new Page();
    const page = (await service.later()) as Page;
    expect([page.total, page.first(), page instanceof Page]).toEqual([2, 'a', true]);
    await expect(collect(page)).resolves.toHaveLength(2);
    await expect(free()).resolves.toBe(true);
    await expect(collect(page)).resolves.toHaveLength(2);
    await expect(free()).resolves.toBe(true);
  });

  test('that is skipped is empty', async () => {
    const other = await locker.lock('k');
    await expect(collect(service.skippedGenerator())).resolves.toEqual([]);
    await other.release();
    await expect(collect(service.skippedGenerator())).resolves.toEqual([['ran', 'none']]);
  });

  test('that is dropped half-way does not keep its lock for ever', async () => {
    const collectGarbage = garbageCollector();
    result = () => rows();
    await service.generator().next();
    await expect(free()).resolves.toBe(false);
    await until(async () => {
      collectGarbage();
      await aMoment();
      return free();
    });
  });
});

describe.each<{ what: string; make: (source: Readable) => unknown; read: (made: any) => Readable }>(
  [
    { what: 'a stream', make: (source) => source, read: (made) => made },
    {
      what: 'a StreamableFile',
      make: (source) => new StreamableFile(source),
      read: (made: StreamableFile) => made.getStream(),
    },
  ],
)('$what', ({ make, read }) => {
  test('keeps the lock until it has been read', async () => {
    const source = new PassThrough();
    result = () => make(source);
    const made = await service.later();
    await expect(free()).resolves.toBe(false);
    const content = text(read(made));
    source.write('a');
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(free()).resolves.toBe(false);
    source.end('b');
    await expect(content).resolves.toBe('ab');
    await untilFree(locker, 'k');
  });

  test('lets it go when it is destroyed', async () => {
    const source = new PassThrough();
    result = () => make(source);
    const stream = read(await service.later());
    stream.on('error', () => {});
    stream.resume();
    stream.destroy(new Error('gone'));
    await untilFree(locker, 'k');
    expect(warn).not.toHaveBeenCalled();
  });

  test('that nobody reads is freed by the ttl, and cannot be read without the lock', async () => {
    const source = new PassThrough();
    source.end('secret');
    result = () => make(source);
    const stream = read(await service.later());
    await untilFree(locker, 'k');
    await expect(text(stream)).rejects.toMatchObject({ code: 'LOCK_LOST' });
  });
});

describe('other bodies', () => {
  test('a file is read to its end', async () => {
    result = () => createReadStream(import.meta.filename);
    await expect(buffer(await service.later())).resolves.not.toHaveLength(0);
    await untilFree(locker, 'k');
  });

  test('a stream that has ended keeps nothing', async () => {
    const source = Readable.from(['x']);
    await text(source);
    result = () => source;
    await service.later();
    await expect(free()).resolves.toBe(true);
  });

  test('a web stream keeps the lock until it has been read', async () => {
    const slow = gate();
    result = () => ReadableStream.from(rows([], slow.opened));
    const stream = (await service.later()) as ReadableStream;
    expect(stream).toBeInstanceOf(ReadableStream);
    await expect(free()).resolves.toBe(false);
    const all = collect(stream);
    await new Promise((resolve) => setTimeout(resolve, 2 * TTL));
    await expect(free()).resolves.toBe(false);
    slow.open();
    await expect(all).resolves.toHaveLength(2);
    await untilFree(locker, 'k');
  });

  test('a web stream that is cancelled is cancelled at its source', async () => {
    let cancelled: unknown;
    const source = () =>
      new ReadableStream({
        pull: (controller) => controller.enqueue('x'),
        cancel(reason) {
          cancelled = reason;
        },
      });
    result = source;
    await ((await service.later()) as ReadableStream).cancel('unread');
    expect(cancelled).toBe('unread');
    await untilFree(locker, 'k');
    const reader = ((await service.later()) as ReadableStream).getReader();
    await reader.read();
    await expect(free()).resolves.toBe(false);
    await reader.cancel('read');
    expect(cancelled).toBe('read');
    await untilFree(locker, 'k');
  });

  test('a web response keeps the lock until its body has been read', async () => {
    result = () => new Response('content', { status: 202, headers: { 'x-a': 'b' } });
    const response = (await service.later()) as Response;
    expect([response.status, response.headers.get('x-a')]).toEqual([202, 'b']);
    await expect(free()).resolves.toBe(false);
    await expect(response.text()).resolves.toBe('content');
    await untilFree(locker, 'k');
  });

  test('an Observable of streams keeps the lock until they have been read', async () => {
    const source = new PassThrough();
    result = () => of(source);
    const stream = await firstValueFrom(service.declared().pipe(map((made) => made as Readable)));
    const content = text(stream);
    await expect(free()).resolves.toBe(false);
    source.end('x');
    await expect(content).resolves.toBe('x');
    await untilFree(locker, 'k');
  });

  test.each([{ value: { a: 1 } }, { value: 'text' }, { value: ['x'] }, { value: null }])(
    '$value is handed out as it is, with the lock free',
    async ({ value }) => {
      result = () => value;
      await expect(service.later()).resolves.toBe(value);
      await expect(free()).resolves.toBe(true);
    },
  );
});
