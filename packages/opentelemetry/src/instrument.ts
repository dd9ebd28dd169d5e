import { diag, metrics, trace, type MeterProvider, type TracerProvider } from '@opentelemetry/api';
import { NAME, subscribe, type Listeners } from './channels.ts';
import { LockMetrics } from './lock-metrics.ts';
import { LockTraces } from './lock-traces.ts';

/** Options of {@link instrumentLockers}. */
export interface InstrumentLockersOptions {
  /** Where metrics go. Default: the global one, also if it is registered later. */
  meterProvider?: MeterProvider | undefined;
  /** Where spans go. Default: the global one, also if it is registered later. */
  tracerProvider?: TracerProvider | undefined;
  /**
   * What of a key becomes the attribute `key` of metrics and spans: a class of keys, for every value is
   * a series of its own. `undefined` for none. Of several keys it gets the first.
   *
   * @default no attribute
   */
  keyAttribute?: ((key: string) => string | undefined) | undefined;
  /** @default true */
  metrics?: boolean | undefined;
  /** @default true */
  traces?: boolean | undefined;
  /**
   * Whether an acquisition that was called outside of any span gets no spans.
   *
   * @default true
   */
  requireParentSpan?: boolean | undefined;
}

/** Providers that are in use, whichever copy of this package uses them: twice would count twice. */
const used = ((globalThis as Record<symbol, unknown>)[
  Symbol.for('@holdfast/opentelemetry:used')
] ??= new Set()) as Set<unknown>;

/**
 * Measures and traces every locker of this process, whoever made it and when, from now on.
 *
 * @returns ends it
 * @example
 * ```ts
 * instrumentLockers({ keyAttribute: (key) => key.replace(/:.*$/, ':*') }); // 'order:42' → 'order:*'
 * ```
 */
export function instrumentLockers(options: InstrumentLockersOptions = {}): () => void {
  check(options);
  const ends: (() => void)[] = [];
  const classOf = (key: string): string | undefined => classBy(options, key);
  const start = (what: string, provider: unknown, listeners: () => Listeners): void => {
    const use = provider ?? `global ${what}`;
    if (used.has(use)) {
      diag.warn(`${NAME}: The lockers are instrumented already for these ${what}; once is enough.`);
      return;
    }
    used.add(use);
    const end = subscribe(listeners());
    ends.push(() => {
      end();
      used.delete(use);
    });
  };
  if (options.metrics ?? true) {
    const { meterProvider } = options;
    start('metrics', meterProvider, () => {
      const provider = (): MeterProvider => meterProvider ?? metrics.getMeterProvider();
      const lockMetrics = new LockMetrics(provider, classOf);
      ends.push(() => lockMetrics.stop());
      return lockMetrics.listeners;
    });
  }
  if (options.traces ?? true) {
    const { tracerProvider = trace, requireParentSpan = true } = options;
    start('traces', options.tracerProvider, () => {
      return new LockTraces(tracerProvider.getTracer(NAME), classOf, requireParentSpan).listeners;
    });
  }
  return () => ends.splice(0).forEach((end) => end());
}

/** A lock whose key has no class, because the user's function fails, counts all the same. */
function classBy({ keyAttribute }: InstrumentLockersOptions, key: string): string | undefined {
  try {
    const name: unknown = keyAttribute?.(key);
    return typeof name === 'string' ? name : undefined;
  } catch (error) {
    diag.error(`${NAME}: \`keyAttribute\` failed.`, error);
    return undefined;
  }
}

/** @throws TypeError */
function check(options: InstrumentLockersOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError('The options of instrumentLockers() must be an object.');
  }
  const { keyAttribute } = options;
  if (keyAttribute !== undefined && typeof keyAttribute !== 'function') {
    throw new TypeError('`keyAttribute` must be a function of a key.');
  }
}
