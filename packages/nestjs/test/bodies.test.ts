import { createReadStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { StreamableFile } from '@nestjs/common';
import { firstValueFrom, map, of } from 'rxjs';
import { describe, expect, test } from 'vitest';
import { gate } from './kit/index.ts';
import { collect, lock, method, rows, service, warn, useService } from './kit/results.ts';

useService();

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
  test('a stream keeps the lock until it has been read', async () => {
    const source = new PassThrough();
    method.result = () => make(source);
    const made = await service.later();
    await expect(lock.isFree()).resolves.toBe(false);
    const content = text(read(made));
    source.write('a');
    await lock.outlast();
    await expect(lock.isFree()).resolves.toBe(false);
    source.end('b');
    await expect(content).resolves.toBe('ab');
    await lock.untilFree();
  });

  test('a stream releases the lock when it is destroyed', async () => {
    const source = new PassThrough();
    method.result = () => make(source);
    const stream = read(await service.later());
    stream.on('error', () => {});
    stream.resume();
    stream.destroy(new Error('gone'));
    await lock.untilFree();
    expect(warn).not.toHaveBeenCalled();
  });

  test('a stream that nobody reads loses its lock with the ttl, and cannot be read without it', async () => {
    const source = new PassThrough();
    source.end('secret');
    method.result = () => make(source);
    const stream = read(await service.later());
    await lock.untilExpired();
    await expect(text(stream)).rejects.toMatchObject({ code: 'LOCK_LOST' });
  });
});

describe('other bodies', () => {
  test('a file keeps the lock until it is read to its end', async () => {
    method.result = () => createReadStream(import.meta.filename);
    await expect(buffer(await service.later())).resolves.not.toHaveLength(0);
    await lock.untilFree();
  });

  test('a stream that has ended keeps no lock', async () => {
    const source = Readable.from(['x']);
    await text(source);
    method.result = () => source;
    await service.later();
    await expect(lock.isFree()).resolves.toBe(true);
  });

  test('a web stream keeps the lock until it has been read', async () => {
    const slow = gate();
    method.result = () => ReadableStream.from(rows([], slow.opened));
    const stream = (await service.later()) as ReadableStream;
    expect(stream).toBeInstanceOf(ReadableStream);
    await expect(lock.isFree()).resolves.toBe(false);
    const all = collect(stream);
    await lock.outlast();
    await expect(lock.isFree()).resolves.toBe(false);
    slow.open();
    await expect(all).resolves.toHaveLength(2);
    await lock.untilFree();
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
    method.result = source;
    await ((await service.later()) as ReadableStream).cancel('unread');
    expect(cancelled).toBe('unread');
    await lock.untilFree();
    const reader = ((await service.later()) as ReadableStream).getReader();
    await reader.read();
    await expect(lock.isFree()).resolves.toBe(false);
    await reader.cancel('read');
    expect(cancelled).toBe('read');
    await lock.untilFree();
  });

  test('a web response keeps the lock until its body has been read', async () => {
    method.result = () => new Response('content', { status: 202, headers: { 'x-a': 'b' } });
    const response = (await service.later()) as Response;
    expect([response.status, response.headers.get('x-a')]).toEqual([202, 'b']);
    await expect(lock.isFree()).resolves.toBe(false);
    await expect(response.text()).resolves.toBe('content');
    await lock.untilFree();
  });

  test('an Observable of streams keeps the lock until they have been read', async () => {
    const source = new PassThrough();
    method.result = () => of(source);
    const stream = await firstValueFrom(service.declared().pipe(map((made) => made as Readable)));
    const content = text(stream);
    await expect(lock.isFree()).resolves.toBe(false);
    source.end('x');
    await expect(content).resolves.toBe('x');
    await lock.untilFree();
  });
});
