import type { Readable } from 'node:stream';
import { StreamableFile } from '@nestjs/common';

/** What a method's result can be that runs on after the method has returned it. */

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  const iterable = value as Partial<AsyncIterable<unknown>> | null | undefined;
  return typeof iterable === 'object' && typeof iterable?.[Symbol.asyncIterator] === 'function';
}

/** A stream of Node's, or the one inside a `StreamableFile`. */
export function nodeStreamOf(value: object): Readable | undefined {
  const stream = value instanceof StreamableFile ? value.getStream() : value;
  const { on, pipe, read } = stream as Partial<Readable>;
  const fits = [on, pipe, read].every((method) => typeof method === 'function');
  return fits ? (stream as Readable) : undefined;
}

export function isWebStream(value: object): value is ReadableStream {
  return Object.prototype.toString.call(value) === '[object ReadableStream]';
}

export function isWebResponse(value: object): value is Response {
  return Object.prototype.toString.call(value) === '[object Response]';
}
