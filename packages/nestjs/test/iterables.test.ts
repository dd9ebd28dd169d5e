import { describe, expect, test } from 'vitest';
import { aMoment, garbageCollector, gate, until } from './kit/index.ts';
import { ALL, collect, lock, method, rows, service, useService } from './kit/results.ts';

useService();

describe.each<{ how: string; iterate: () => AsyncGenerator }>([
  { how: 'an async generator', iterate: () => service.generator() },
  { how: 'a function', iterate: () => service.plain() as AsyncGenerator },
])('an iterable that $how returns', ({ iterate }) => {
  test('an iterable holds the lock from the first pull until it is done', async () => {
    const slow = gate();
    method.result = () => rows([], slow.opened);
    const all = collect(iterate());
    await until(async () => !(await lock.isFree()));
    await lock.outlast();
    await expect(lock.isFree()).resolves.toBe(false);
    slow.open();
    await expect(all).resolves.toEqual(ALL);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an iterable releases the lock when its consumer leaves, and closes the source', async () => {
    const log: string[] = [];
    method.result = () => rows(log);
    for await (const row of iterate()) {
      expect(row).toBe('first under k');
      break;
    }
    expect(log).toEqual(['opened', 'closed']);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an iterable that fails releases the lock, and throws the same error', async () => {
    const error = new Error('of the source');
    method.result = async function* fails() {
      yield 1;
      throw error;
    };
    await expect(collect(iterate())).rejects.toBe(error);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an iterable that is never pulled takes no lock', async () => {
    let ran = false;
    method.result = () => {
      ran = true;
      return rows();
    };
    const iterator = iterate()[Symbol.asyncIterator]();
    await aMoment();
    await expect(iterator.return?.('x')).resolves.toEqual({ done: true, value: 'x' });
    await expect(iterator.next()).resolves.toMatchObject({ done: true });
    expect(ran).toBe(false);
    await expect(lock.isFree()).resolves.toBe(true);
  });
});

describe('an async iterable', () => {
  test('an iterable looks like a generator', async () => {
    method.result = () => rows();
    const generator = service.generator();
    expect(generator[Symbol.asyncIterator]()).toBe(generator);
    expect(Object.prototype.toString.call(generator)).toBe('[object AsyncGenerator]');
    await expect(generator.next()).resolves.toEqual({ done: false, value: 'first under k' });
    const error = new Error('thrown in');
    await expect(generator.throw(error)).rejects.toBe(error);
    await expect(generator.next()).resolves.toMatchObject({ done: true });
    await expect(lock.isFree()).resolves.toBe(true);
    await expect(service.generator().throw(error)).rejects.toBe(error);
  });

  test('an iterable that a promise resolves to keeps the lock until it is done', async () => {
    const slow = gate();
    method.result = () => rows([], slow.opened);
    const iterable = (await service.later()) as AsyncGenerator;
    await expect(lock.isFree()).resolves.toBe(false);
    const all = collect(iterable);
    await lock.outlast();
    await expect(lock.isFree()).resolves.toBe(false);
    slow.open();
    await expect(all).resolves.toEqual(ALL);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an iterable that nobody pulls in time loses its lock, and takes it anew when it is pulled late', async () => {
    method.result = () => rows();
    const iterable = (await service.later()) as AsyncGenerator;
    await lock.untilExpired();
    const other = await lock.locker.lock('k');
    const all = collect(iterable);
    await aMoment();
    await other.release();
    await expect(all).resolves.toEqual(ALL);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an iterable that is closed unread releases the lock', async () => {
    const source = rows();
    method.result = () => source;
    const iterable = (await service.later()) as AsyncGenerator;
    await iterable.return(undefined);
    await expect(lock.isFree()).resolves.toBe(true);
    await expect(source.next()).resolves.toEqual({ done: true, value: undefined });
  });

  test('an iterable keeps its other properties and methods', async () => {
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
    method.result = () => new Page();
    const page = (await service.later()) as Page;
    expect([page.total, page.first(), page instanceof Page]).toEqual([2, 'a', true]);
    await expect(collect(page)).resolves.toHaveLength(2);
    await expect(lock.isFree()).resolves.toBe(true);
    await expect(collect(page)).resolves.toHaveLength(2);
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('an iterable whose lock is busy and skipped is empty', async () => {
    const other = await lock.locker.lock('k');
    await expect(collect(service.skippedGenerator())).resolves.toEqual([]);
    await other.release();
    await expect(collect(service.skippedGenerator())).resolves.toEqual([['ran', 'none']]);
  });

  test('an iterable that is dropped half-way does not keep its lock for ever', async () => {
    const collectGarbage = garbageCollector();
    method.result = () => rows();
    await service.generator().next();
    await expect(lock.isFree()).resolves.toBe(false);
    await until(async () => {
      collectGarbage();
      await aMoment();
      return lock.isFree();
    });
  });
});
