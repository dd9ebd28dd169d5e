import type { TraceEvent } from '@holdfast/simulation/trace';

/** A lease, from when a process holds it to when it no longer does. Times are virtual ms. */
export interface Bar {
  readonly lease: number;
  readonly process: string;
  readonly key: string;
  readonly from: number;
  to: number;
  signalPoint: number;
  until: number;
  readonly renewals: number[];
  end: 'held' | 'released' | 'lost';
  /** Whether others may hold the key beside this one. */
  readonly shared: boolean;
  /** Which event began it. */
  readonly event: number;
}

/** Somebody who waits. */
interface Wait {
  readonly process: string;
  readonly keys: readonly string[];
  readonly from: number;
  to: number;
  readonly event: number;
}

/** Something that went wrong; without a process it happened to the store. */
export interface Mark {
  readonly at: number;
  /** How long a process stood still. */
  readonly ms: number | undefined;
  readonly fault: string;
  readonly process: string | undefined;
  readonly event: number;
}

/** What a picture of a history shows. */
export interface Timeline {
  readonly processes: readonly string[];
  readonly keys: readonly string[];
  readonly end: number;
  readonly bars: readonly Bar[];
  readonly waits: readonly Wait[];
  readonly marks: readonly Mark[];
  readonly violation:
    | {
        readonly at: number;
        readonly event: number;
        /** Those that were held when it was found that they must not be. */
        readonly leases: ReadonlySet<number>;
      }
    | undefined;
}

export function timelineOf(events: readonly TraceEvent[]): Timeline {
  const end = events.at(-1)?.at ?? 0;
  let processes: readonly string[] = [];
  let keys: readonly string[] = [];
  const bars = new Map<number, Bar>();
  const waits = new Map<number, Wait>();
  const marks: Mark[] = [];
  let violation: Timeline['violation'];
  for (const [index, event] of events.entries()) {
    const { at } = event;
    switch (event.kind) {
      case 'begin':
        ({ processes, keys } = event);
        break;
      case 'held': {
        const { lease, process, key, signalPoint, until, sharing } = event;
        const times = { from: at, to: end, signalPoint, until, renewals: [] };
        const shared = sharing !== undefined;
        bars.set(lease, { lease, process, key, ...times, end: 'held', shared, event: index });
        break;
      }
      case 'renewed': {
        const bar = bars.get(event.lease);
        bar?.renewals.push(at);
        if (bar !== undefined)
          Object.assign(bar, { signalPoint: event.signalPoint, until: event.until });
        break;
      }
      case 'released':
      case 'lost': {
        const bar = bars.get(event.lease);
        if (bar !== undefined) Object.assign(bar, { to: at, end: event.kind });
        break;
      }
      case 'waiting': {
        const { process, keys: wanted, waiter } = event;
        if (waiter === undefined) break;
        waits.set(waiter, { process, keys: wanted, from: at, to: end, event: index });
        break;
      }
      case 'acquired':
      case 'not-acquired': {
        const wait = waits.get(event.waiter ?? 0);
        if (wait !== undefined) wait.to = at;
        break;
      }
      case 'fault': {
        const { fault, process, ms } = event;
        const still = fault === 'pause' || fault === 'suspend';
        marks.push({ at, ms: still ? ms : undefined, fault, process, event: index });
        break;
      }
      case 'violation':
        violation = { at, event: index, leases: wrongAt(event, bars.values()) };
        break;
      default:
    }
  }
  return {
    processes,
    keys,
    end,
    marks,
    violation,
    bars: [...bars.values()],
    waits: [...waits.values()],
  };
}

/** The leases that a violation is about, as far as it names their key. */
function wrongAt(
  { invariant, message }: Extract<TraceEvent, { kind: 'violation' }>,
  bars: Iterable<Bar>,
): ReadonlySet<number> {
  const words = new Set(message.slice(invariant.length + 1).match(/[\w-]+/g));
  const held = [...bars].filter(({ key, end }) => end === 'held' && words.has(key));
  // Several may hold a permit: which of them is meant is known only if it is all of them, or one alone.
  const all = invariant === 'weight' || invariant === 'readers' || held.length === 1;
  return new Set(held.filter(({ shared }) => all || !shared).map(({ lease }) => lease));
}
