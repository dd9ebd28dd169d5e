import { context, metrics, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type DataPoint,
  type Histogram,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { createLocker, memoryStore, type Locker, type LockerOptions } from '@holdfast/core';
import { faultyStore, virtualClock, type FaultyStore, type VirtualClock } from '@holdfast/testing';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { instrumentLockers, type InstrumentLockersOptions } from '../src/index.ts';

type Attributes = Readonly<Record<string, unknown>>;

const endings: (() => unknown)[] = [];

/** As an application's SDK does. */
export function useContextManager(): void {
  beforeAll(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  });
  afterAll(() => context.disable());
  afterEach(async () => {
    for (const end of endings.splice(0).toReversed()) await end();
    metrics.disable();
    trace.disable();
  });
}

interface Measured {
  /** The values of a counter or gauge, for attributes that include these; summed up. */
  value(name: string, attributes?: Attributes): Promise<number | undefined>;
  /** Of a histogram, the same. */
  histogram(name: string, attributes?: Attributes): Promise<{ count: number; sum: number }>;
  /** All sets of attributes of a metric. */
  attributes(name: string): Promise<Attributes[]>;
}

/** The SDK with exporters that keep all in memory. */
export function sdk() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const spanExporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(spanExporter)],
  });
  endings.push(
    () => meterProvider.shutdown(),
    () => tracerProvider.shutdown(),
  );
  const points = async (name: string): Promise<readonly DataPoint<number | Histogram>[]> => {
    exporter.reset();
    await reader.forceFlush();
    const all = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics: found }) => found));
    const metric = all.find(({ descriptor }) => descriptor.name === `holdfast.lock.${name}`);
    return (metric?.dataPoints ?? []) as readonly DataPoint<number | Histogram>[];
  };
  const having = async (name: string, wanted: Attributes) =>
    (await points(name)).filter(({ attributes }) =>
      Object.entries(wanted).every(([key, value]) => attributes[key] === value),
    );
  const measured: Measured = {
    value: async (name, attributes = {}) => {
      const found = await having(name, attributes);
      if (found.length === 0) return undefined;
      return found.reduce((sum, { value }) => sum + (value as number), 0);
    },
    histogram: async (name, attributes = {}) => {
      const values = (await having(name, attributes)).map(({ value }) => value as Histogram);
      return {
        count: values.reduce((sum, { count }) => sum + count, 0),
        sum: values.reduce((total, { sum = 0 }) => total + sum, 0),
      };
    },
    attributes: async (name) => (await points(name)).map(({ attributes }) => attributes),
  };
  return { meterProvider, tracerProvider, spanExporter, measured };
}

export interface Bench extends ReturnType<typeof sdk> {
  readonly clock: VirtualClock;
  readonly faults: FaultyStore;
  readonly locker: (options?: LockerOptions) => Locker;
}

/** Instrumented lockers in virtual time. */
export function bench(options: InstrumentLockersOptions = {}): Bench {
  const clock = virtualClock({ seed: 1 });
  const faults = faultyStore(memoryStore({ clock }), { clock });
  const made = sdk();
  const { meterProvider, tracerProvider } = made;
  endings.push(instrumentLockers({ meterProvider, tracerProvider, ...options }));
  return {
    ...made,
    clock,
    faults,
    locker: (more = {}) => createLocker({ store: faults, clock, name: 'orders', ...more }),
  };
}

/** To be called when the test is over. */
export function atEnd(end: () => unknown): void {
  endings.push(end);
}
