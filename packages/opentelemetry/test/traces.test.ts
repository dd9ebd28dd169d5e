import { context, SpanStatusCode, trace, type Span } from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { bench, useContextManager, type Bench } from './kit.ts';

useContextManager();

/** Runs something in a span of the application's. */
function inSpan<T>({ tracerProvider }: Bench, name: string, run: (span: Span) => T): T {
  const span = tracerProvider.getTracer('app').startSpan(name);
  try {
    return context.with(trace.setSpan(context.active(), span), () => run(span));
  } finally {
    span.end();
  }
}

const spansOf = ({ spanExporter }: Bench, name: string) =>
  spanExporter.getFinishedSpans().filter((span) => span.name === name);

test('a hold is a span below the span of its caller', async () => {
  const made = bench();
  const lock = await inSpan(made, 'request', () => made.locker().lock('k'));
  await made.clock.advance(40);
  await lock.release();
  const [request] = spansOf(made, 'request');
  const [hold] = spansOf(made, 'holdfast hold');
  expect(hold?.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
  expect(hold?.attributes).toMatchObject({
    locker: 'orders',
    outcome: 'released',
    'holdfast.fencing_token': lock.fencingToken,
  });
  expect(JSON.stringify(hold?.attributes)).not.toContain('"k"');
  expect(spansOf(made, 'holdfast wait')).toEqual([]);
});

test('an acquisition that waited has a span as long as its wait, below the span of its caller', async () => {
  const made = bench();
  const one = made.locker();
  const first = await one.lock('k');
  const waiting = inSpan(made, 'waiter', () => one.lock('k'));
  await made.clock.advance(1_500);
  await inSpan(made, 'releaser', () => first.release());
  await made.clock.advance(600);
  const lock = await waiting;
  await lock.release();
  const [waiter] = spansOf(made, 'waiter');
  const [wait] = spansOf(made, 'holdfast wait');
  const [hold] = spansOf(made, 'holdfast hold');
  expect(wait?.parentSpanContext?.spanId).toBe(waiter?.spanContext().spanId);
  expect(hold?.parentSpanContext?.spanId).toBe(waiter?.spanContext().spanId);
  const [seconds = 0, nanos = 0] = wait?.duration ?? [];
  expect(seconds + nanos / 1e9).toBeGreaterThanOrEqual(1.49);
  expect(wait?.attributes).toMatchObject({ outcome: 'acquired' });
});

test('a hand-off links the hold to the one that handed the lock over', async () => {
  const made = bench();
  const one = made.locker();
  const first = await inSpan(made, 'first', () => one.lock('k'));
  const waiting = inSpan(made, 'second', () => one.lock('k'));
  await made.clock.advance(10);
  await first.release();
  await (await waiting).release();
  const [earlier, later] = spansOf(made, 'holdfast hold');
  expect(later?.links.map((link) => link.context.spanId)).toEqual([earlier?.spanContext().spanId]);
});

test('a wait that ends without the lock is a failed span', async () => {
  const made = bench();
  const one = made.locker();
  await one.lock('k');
  const caller = new AbortController();
  const late = inSpan(made, 'late', () => one.lock('k', { wait: 50 }));
  const gone = inSpan(made, 'gone', () => one.lock('k', { signal: caller.signal }));
  late.catch(() => {});
  gone.catch(() => {});
  await made.clock.advance(60);
  caller.abort(new TypeError('away'));
  await Promise.allSettled([late, gone]);
  expect(
    spansOf(made, 'holdfast wait').map(({ attributes, status, parentSpanContext }) => ({
      why: attributes['error.type'],
      code: status.code,
      child: parentSpanContext !== undefined,
    })),
  ).toEqual([
    { why: 'busy', code: SpanStatusCode.ERROR, child: true },
    { why: 'aborted', code: SpanStatusCode.ERROR, child: true },
  ]);
});

test('a lock that is lost fails its span, which tells of its renewals too', async () => {
  const made = bench();
  await inSpan(made, 'request', () => made.locker({ ttl: 9_000 }).lock('k', { maxHold: 4_000 }));
  await made.clock.advance(5_000);
  const [hold] = spansOf(made, 'holdfast hold');
  expect(hold?.status).toMatchObject({ code: SpanStatusCode.ERROR });
  expect(hold?.attributes).toMatchObject({ outcome: 'lost', 'error.type': 'max-hold' });
  expect(hold?.events.map(({ name }) => name)).toEqual(['renewed', 'lost']);
});

test('outside of a span there are no spans, unless that is asked for', async () => {
  const made = bench();
  await (await made.locker().lock('k')).release();
  expect(made.spanExporter.getFinishedSpans()).toEqual([]);
});

test('with requireParentSpan: false a hold outside of a span is a trace of its own', async () => {
  const made = bench({ requireParentSpan: false });
  await (await made.locker().lock('k')).release();
  expect(spansOf(made, 'holdfast hold')).toHaveLength(1);
});

test('keyAttribute is told in spans as well', async () => {
  const made = bench({ keyAttribute: () => 'order:*' });
  const lock = await inSpan(made, 'request', () => made.locker().lock('order:1'));
  await lock.release();
  expect(spansOf(made, 'holdfast hold')[0]?.attributes['key']).toBe('order:*');
});
