import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { context, trace } from '@opentelemetry/api';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { instrumentLockers } from '../src/index.ts';
import { atEnd, sdk, useContextManager } from './kit.ts';

const server = useRedis();
useContextManager();

test('on Redis, spans of processes that contend are children of their own callers', async () => {
  const { meterProvider, tracerProvider, spanExporter, measured } = sdk();
  atEnd(instrumentLockers({ meterProvider, tracerProvider }));
  const tracer = tracerProvider.getTracer('app');
  const client = new Redis(server.url);
  atEnd(() => client.disconnect());
  const store = redisStore(client);
  const lockers = [1, 2, 3].map((number) => createLocker({ store, name: `locker-${number}` }));
  const callers = lockers.map((_, index) => tracer.startSpan(`caller-${index + 1}`));
  const runs = lockers.map((locker, index) =>
    context.with(trace.setSpan(context.active(), callers[index] as never), () =>
      locker.withLock('traced', () => undefined),
    ),
  );
  await Promise.all(runs);
  for (const span of callers) span.end();
  for (const locker of lockers) await locker.close();
  const holds = spanExporter.getFinishedSpans().filter(({ name }) => name === 'holdfast hold');
  const parents = Object.fromEntries(
    holds.map(({ attributes, parentSpanContext }) => [
      attributes['locker'],
      callers.findIndex((span) => span.spanContext().spanId === parentSpanContext?.spanId) + 1,
    ]),
  );
  expect(parents).toEqual({ 'locker-1': 1, 'locker-2': 2, 'locker-3': 3 });
  const waits = spanExporter.getFinishedSpans().filter(({ name }) => name === 'holdfast wait');
  expect(waits).toHaveLength(2);
  expect(await measured.value('held')).toBe(0);
  expect(await measured.value('waiting')).toBe(0);
});

test('on Redis, an owner that takes several keys over from itself is counted once, with a span each', async () => {
  const { meterProvider, tracerProvider, spanExporter, measured } = sdk();
  atEnd(instrumentLockers({ meterProvider, tracerProvider, requireParentSpan: false }));
  const client = new Redis(server.url);
  atEnd(() => client.disconnect());
  const [before, after] = [1, 2].map(() => createLocker({ store: redisStore(client) })) as [
    Locker,
    Locker,
  ];
  const keys = ['taken', 'over'];
  const older = await before.lock(keys, { owner: 'worker' });
  const newer = await after.lock(keys, { owner: 'worker' });
  await expect.poll(() => older.state).toBe('lost');
  expect(await measured.value('held')).toBe(1);
  await newer.release();
  expect(await measured.value('held')).toBe(0);
  const outcomes = spanExporter.getFinishedSpans().map(({ attributes }) => attributes['outcome']);
  expect(outcomes).toEqual(['lost', 'released']);
  await Promise.all([before.close(), after.close()]);
});
