import type { AcquireReply, LockStore, Sharing, StoreEvent } from '@holdfast/core';
import type { Process } from './process.ts';
import { LEADER, type Schedule } from './schedule.ts';
import type { Invariant } from './violation.ts';

/** What a lease is at one moment. Times are virtual ms since the run began. */
interface LeaseFacts {
  readonly process: string;
  readonly key: string;
  /** Tells the leases of a run apart. */
  readonly lease: number;
  readonly token: number;
}

interface LeaseTimes {
  /** When the process stops believing in it, unless it is renewed. */
  readonly signalPoint: number;
  /** When it ends on the store, unless it is renewed. */
  readonly until: number;
}

/** What happened, without when. */
type Happening =
  | { kind: 'begin'; processes: readonly string[]; keys: readonly string[]; calmAt: number }
  | { kind: 'request'; process: string; verb: string; key: string | undefined }
  | { kind: 'grant'; process: string; key: string; token: number }
  | { kind: 'waiting'; process: string; keys: readonly string[]; waiter?: number }
  | { kind: 'acquired'; process: string; keys: readonly string[]; waiter?: number; waited: number }
  | {
      kind: 'not-acquired';
      process: string;
      keys: readonly string[];
      waiter?: number;
      reason: string;
    }
  | ({ kind: 'held'; sharing?: Sharing } & LeaseFacts & LeaseTimes)
  | ({ kind: 'renewed' } & LeaseFacts & LeaseTimes)
  | ({ kind: 'released' } & LeaseFacts)
  | ({ kind: 'lost'; reason: string } & LeaseFacts)
  | {
      kind: 'fault';
      fault: string;
      process?: string;
      verb?: string | undefined;
      key?: string | undefined;
      ms?: number;
    }
  | { kind: 'violation'; invariant: Invariant; message: string };

/** Something that happened in a run, and when, in virtual ms. */
export type TraceEvent = Happening & { readonly at: number };

type HeldLease = Process['context']['held'] extends { values(): Iterable<infer L> } ? L : never;

interface Seen {
  readonly facts: LeaseFacts;
  readonly process: Process;
  endsAt: number;
}

const VERBS: ReadonlySet<string> = new Set([
  'acquire',
  'renew',
  'release',
  'refresh',
  'leave',
  'inspect',
  'forceRelease',
]);

/** The part of a key that users know: the store's name for it begins with the namespace. */
function keyOf(stored: string): string {
  return stored.slice(stored.indexOf(':') + 1);
}

/**
 * Writes down what happens in one run, for people: who asks, who waits, who holds what until when, and
 * what goes wrong. It listens and looks; a run with it is the same as one without.
 */
export class Trace {
  readonly events: TraceEvent[] = [];
  private now: () => number = () => 0;
  /** Whose request the store has before it. */
  private sender: { process: string; verb: string; key: string | undefined } | undefined;
  private processes: readonly Process[] = [];
  private readonly seen = new Map<HeldLease, Seen>();
  private leases = 0;
  /** Waiters are counted per process of Node's: here from 1 on. */
  private readonly waiters = new Map<number, number>();

  begin(now: () => number, schedule: Schedule, processes: readonly Process[]): void {
    this.now = now;
    this.processes = processes;
    const { calmAt, elections } = schedule;
    const known = elections.length === 0 ? schedule.keys : [...schedule.keys, LEADER];
    const names = processes.map(({ name }) => name);
    this.add({ kind: 'begin', processes: names, keys: known, calmAt });
    for (const { name: process, locker } of processes) {
      locker.on('waiting', ({ keys, waiter }) =>
        this.add({ kind: 'waiting', process, keys, ...this.numbered(waiter) }),
      );
      locker.on('acquired', ({ keys, waiter, waited }) =>
        this.add({ kind: 'acquired', process, keys, ...this.numbered(waiter), waited }),
      );
      locker.on('not-acquired', ({ keys, waiter, reason }) =>
        this.add({ kind: 'not-acquired', process, keys, ...this.numbered(waiter), reason }),
      );
    }
  }

  /** The store as one process reaches it. */
  storeFor(process: string, store: LockStore): LockStore {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        const verb = value.bind(target) as (...args: readonly unknown[]) => unknown;
        if (!VERBS.has(name as string)) return verb;
        return (...args: readonly unknown[]) => {
          const sender = { process, verb: name as string, key: keyIn(name as string, args) };
          this.add({ kind: 'request', ...sender });
          this.sender = sender;
          const reply = verb(...args);
          this.sender = undefined;
          if (name === 'acquire') this.answered(process, sender.key as string, reply);
          return reply;
        };
      },
    });
  }

  /** Something goes wrong with the request that the store has before it. */
  requestFault(fault: string): void {
    this.add({ kind: 'fault', fault, ...this.sender });
  }

  messageFault(process: string, event: StoreEvent): void {
    const key = 'key' in event ? keyOf(event.key) : undefined;
    this.add({ kind: 'fault', fault: 'drop-message', process, key });
  }

  /** Something comes from outside. */
  disturbance(fault: string, where: { process?: string; key?: string; ms?: number } = {}): void {
    this.add({ kind: 'fault', fault, ...where });
  }

  violation(invariant: Invariant, message: string): void {
    this.add({ kind: 'violation', invariant, message });
  }

  /** Looks at what every process holds, after each step. */
  look(): void {
    const held = new Set<HeldLease>();
    for (const process of this.processes) {
      if (process.context.held.size === 0) continue;
      for (const lease of process.context.held.values()) {
        held.add(lease);
        this.lookAt(process, lease);
      }
    }
    for (const [lease, { facts }] of this.seen) {
      if (held.has(lease)) continue;
      this.seen.delete(lease);
      const reason = (lease.ended as { reason?: string } | undefined)?.reason;
      if (reason === undefined) this.add({ kind: 'released', ...facts });
      else this.add({ kind: 'lost', ...facts, reason });
    }
  }

  private lookAt(process: Process, lease: HeldLease): void {
    const { endsAt } = lease;
    const seen = this.seen.get(lease);
    if (seen?.endsAt === endsAt) return;
    // The process's own clock is another than the world's.
    const ahead = this.now() - process.context.time.now();
    const times = { signalPoint: lease.signalPoint + ahead, until: endsAt + ahead };
    if (seen === undefined) {
      const { key, token } = lease;
      const { sharing } = lease.settings;
      const facts = { process: process.name, key, lease: ++this.leases, token };
      this.seen.set(lease, { facts, process, endsAt });
      this.add({ kind: 'held', ...(sharing && { sharing }), ...facts, ...times });
    } else {
      seen.endsAt = endsAt;
      this.add({ kind: 'renewed', ...seen.facts, ...times });
    }
  }

  private answered(process: string, key: string, reply: unknown): void {
    void Promise.resolve(reply as AcquireReply | Promise<AcquireReply>).then(
      (answer) => {
        if (answer.granted) this.add({ kind: 'grant', process, key, token: answer.token });
      },
      () => {},
    );
  }

  private numbered(waiter: number | undefined): { waiter?: number } {
    if (waiter === undefined) return {};
    const number = this.waiters.get(waiter) ?? this.waiters.size + 1;
    this.waiters.set(waiter, number);
    return { waiter: number };
  }

  private add(happening: Happening): void {
    this.events.push({ at: this.now(), ...happening });
  }
}

/** The key that a request is about, if it is about one. */
function keyIn(verb: string, [first, second]: readonly unknown[]): string | undefined {
  if (verb === 'leave') return keyOf(second as string);
  if (verb === 'forceRelease') return keyOf(first as string);
  const { key } = first as { key?: string };
  return key === undefined ? undefined : keyOf(key);
}
