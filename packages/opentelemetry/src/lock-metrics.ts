import type { LockEvent } from '@holdfast/core';
import type {
  Attributes,
  Counter,
  Histogram,
  Meter,
  MeterProvider,
  ObservableUpDownCounter,
} from '@opentelemetry/api';
import { NAME, type Listeners } from './channels.ts';
import { identityOf } from './identity.ts';
import { Population } from './population.ts';

/** Upper bounds of durations, in seconds: a local hand-off takes µs, a lock may be held for hours. */
const DURATIONS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800,
];
const HEADROOMS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

interface Instruments {
  readonly wait: Histogram;
  readonly hold: Histogram;
  readonly headroom: Histogram;
  readonly acquired: Counter;
  readonly notAcquired: Counter;
  readonly lost: Counter;
  readonly handoffs: Counter;
  readonly storeErrors: Counter;
  readonly bypassed: Counter;
  readonly held: ObservableUpDownCounter;
  readonly waiting: ObservableUpDownCounter;
}

function makeInstruments(meter: Meter): Instruments {
  const histogram = (name: string, description: string, bounds: number[]): Histogram => {
    const advice = { explicitBucketBoundaries: bounds };
    return meter.createHistogram(`holdfast.lock.${name}`, { unit: 's', description, advice });
  };
  const counter = (name: string, unit: string, description: string): Counter =>
    meter.createCounter(`holdfast.lock.${name}`, { unit, description });
  const gauge = (name: string, unit: string, description: string): ObservableUpDownCounter =>
    meter.createObservableUpDownCounter(`holdfast.lock.${name}`, { unit, description });
  return {
    wait: histogram('wait.duration', 'Time from asking for a lock to the answer.', DURATIONS),
    hold: histogram('hold.duration', 'Time from the grant to the release or loss.', DURATIONS),
    headroom: histogram(
      'renewal.headroom',
      'Time that was left until the lock would have been lost, when its renewal was confirmed.',
      HEADROOMS,
    ),
    acquired: counter('acquired', '{lock}', 'Locks that were acquired.'),
    notAcquired: counter(
      'not_acquired',
      '{acquisition}',
      'Acquisitions that ended without their lock.',
    ),
    lost: counter('lost', '{lock}', 'Locks that were lost.'),
    handoffs: counter('handoffs', '{handoff}', 'Locks passed on within the process.'),
    storeErrors: counter('store_errors', '{error}', 'Failures of the store, at most one a second.'),
    bypassed: counter('bypassed', '{run}', 'Work that an adapter let run without its lock.'),
    held: gauge('held', '{lock}', 'Locks that are held.'),
    waiting: gauge('waiting', '{acquisition}', 'Acquisitions that wait.'),
  };
}

/** Counts what lockers tell. */
export class LockMetrics {
  private readonly held = new Population<string>();
  private readonly waiting = new Population<number>();
  private source: MeterProvider | undefined;
  private current: Instruments | undefined;

  /** @param provider asked at every event: the global one may be registered late */
  constructor(
    private readonly provider: () => MeterProvider,
    private readonly classOf: (key: string) => string | undefined,
  ) {
    this.instruments();
  }

  readonly listeners: Listeners = {
    acquired: (event) => {
      const about = this.about(event);
      const { acquired, wait } = this.instruments();
      acquired.add(1, about);
      wait.record(event.waited / 1_000, { ...about, outcome: 'acquired' });
      if (event.waiter !== undefined) this.waiting.delete(event.waiter);
      this.held.add(identityOf(event), about);
    },
    waiting: (event) => {
      this.instruments();
      this.waiting.add(event.waiter, this.about(event));
    },
    'not-acquired': (event) => {
      const about = this.about(event);
      const { notAcquired, wait } = this.instruments();
      notAcquired.add(1, { ...about, reason: event.reason });
      wait.record(event.waited / 1_000, { ...about, outcome: 'not_acquired' });
      if (event.waiter !== undefined) this.waiting.delete(event.waiter);
    },
    renewed: (event) => {
      this.instruments().headroom.record(event.headroom / 1_000, this.about(event));
    },
    released: (event) => {
      const about = { ...this.about(event), outcome: 'released' };
      this.instruments().hold.record(event.heldFor / 1_000, about);
      this.held.delete(identityOf(event));
    },
    lost: (event) => {
      const about = this.about(event);
      const { lost, hold } = this.instruments();
      lost.add(1, { ...about, reason: event.reason });
      hold.record(event.heldFor / 1_000, { ...about, outcome: 'lost' });
      this.held.delete(identityOf(event));
    },
    handoff: (event) => this.instruments().handoffs.add(1, this.about(event)),
    'store-error': (event) => {
      const about = { ...this.about(event), phase: event.error.phase };
      this.instruments().storeErrors.add(1, about);
    },
    bypassed: (event) => this.instruments().bypassed.add(1, this.about(event)),
  };

  stop(): void {
    this.current?.held.removeCallback(this.held.observe);
    this.current?.waiting.removeCallback(this.waiting.observe);
  }

  /** Made again where an SDK has been registered since: a meter of before would stay silent for ever. */
  private instruments(): Instruments {
    const provider = this.provider();
    if (this.current === undefined || provider !== this.source) {
      this.stop();
      this.source = provider;
      this.current = makeInstruments(provider.getMeter(NAME));
      this.current.held.addCallback(this.held.observe);
      this.current.waiting.addCallback(this.waiting.observe);
    }
    return this.current;
  }

  private about({
    locker,
    store,
    key,
  }: LockEvent & { readonly key?: string | undefined }): Attributes {
    const about = { locker, store };
    const name = key === undefined ? undefined : this.classOf(key);
    return name === undefined ? about : { ...about, key: name };
  }
}
