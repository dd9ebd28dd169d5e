import type { LockStore, StoreEvent } from '@holdfast/core';
import { faultyStore, type Fault, type FaultyStore } from '@holdfast/testing';
import { Deeds } from './election.ts';
import { Invariants } from './invariants.ts';
import { Oracle } from './oracle.ts';
import { listenOnChannels } from './listeners.ts';
import { Machine } from './machine.ts';
import { Process } from './process.ts';
import {
  draw,
  LEADER,
  LONGEST_HOLD,
  maySeveralHold,
  type Disturbance,
  type Schedule,
  type Sizes,
} from './schedule.ts';
import type { Seed } from './seed.ts';
import { Tally } from './tally.ts';
import type { Trace } from './trace.ts';
import { Transport } from './transport.ts';
import { violated } from './violation.ts';
import { World } from './world.ts';

const FAULT_KINDS = [
  'fail-before',
  'fail-after',
  'drop-request',
  'drop-reply',
  'delay',
  'duplicate',
] as const;

/** What a request may be late at most, in ms. */
const LONGEST_DELAY = 2_500;
/** How long a thief keeps what it stole, in ms. */
const THEFT = 1_200;
/** A closing process gets its last requests through, so that it leaves nothing behind. */
const CALM_FOR_CLOSING = 3_000;

/** What is different from a plain run. */
export interface SimulationOptions extends Sizes {
  /** Puts something before the server, to show that the invariants notice. */
  readonly wrap?: ((server: LockStore) => LockStore) | undefined;
  /**
   * Every callback (events, `onLost`, abort listeners, channels) aborts, locks, releases, extends,
   * closes or throws at random.
   */
  readonly misbehaving?: boolean | undefined;
  /** Writes down what happens. The run is the same without it. */
  readonly trace?: Trace | undefined;
}

/** One seeded run: the real engine in several processes on one server. */
class Simulation {
  readonly tally = new Tally();
  private readonly world: World;
  private readonly schedule: Schedule;
  private readonly oracle: Oracle;
  private readonly server: FaultyStore;
  private readonly processes: Process[];
  private readonly invariants: Invariants;
  private readonly deeds: Deeds;
  /** Ends listening on the channels. */
  private readonly unsubscribe: () => void;
  private readonly trace: Trace | undefined;
  private calmUntil = 0;

  constructor(seed: Seed, options: SimulationOptions) {
    const { wrap = (server: LockStore) => server, misbehaving = false, trace } = options;
    const world = new World(seed);
    this.world = world;
    this.trace = trace;
    this.schedule = draw(world, options);
    this.oracle = new Oracle(world, this.tally);
    this.server = faultyStore(wrap(this.oracle), {
      clock: {
        now: () => world.now,
        wallNow: () => world.now,
        setTimeout: (callback, ms) => world.after(ms, callback) as object,
        clearTimeout: () => {},
      },
      decide: () => this.fault(),
    });
    const misbehaviour = {
      keys: this.schedule.keys,
      close: (process: Process) => {
        this.calmUntil = world.now + CALM_FOR_CLOSING;
        void process.close();
      },
    };
    this.processes = Array.from({ length: this.schedule.processes }, (_, index) => {
      const name = `process-${index}`;
      const machine = new Machine(world);
      const server = trace?.storeFor(name, this.server) ?? this.server;
      const loses = (event: StoreEvent): boolean => this.losesMessage(name, event);
      const store = new Transport(world, machine, server, loses, this.schedule.latency);
      const deeds = misbehaving ? misbehaviour : undefined;
      return new Process(name, world, this.tally, machine, store, deeds);
    });
    trace?.begin(() => world.now, this.schedule, this.processes);
    this.unsubscribe = misbehaving ? listenOnChannels(this.processes) : () => {};
    this.invariants = new Invariants(this.oracle, this.processes);
    this.deeds = new Deeds(
      world,
      this.tally,
      (term) => this.oracle.grantAt(LEADER, term)?.endedEarly === true,
    );
  }

  async run(): Promise<void> {
    const { world, schedule } = this;
    for (const task of schedule.tasks) {
      const process = this.processes[task.process] as Process;
      world.after(task.at, () => {
        if (!process.closing) process.start(task);
      });
    }
    for (const election of schedule.elections) {
      const process = this.processes[election.process] as Process;
      world.after(election.at, () => {
        if (!process.closing) process.campaign(election.ms, this.deeds);
      });
    }
    for (const disturbance of schedule.disturbances) {
      world.after(disturbance.at, () => this.disturb(disturbance));
    }
    await this.until(schedule.calmAt);
    await this.settle();
    await this.end();
  }

  /** The run is over: nothing outside of it knows of it any more. */
  forget(): void {
    this.unsubscribe();
    for (const { crashed } of this.processes) crashed.length = 0;
  }

  private until(at: number): Promise<void> {
    return this.world.run(at, () => {
      this.trace?.look();
      this.invariants.check();
    });
  }

  /** Nothing goes wrong any more: everybody who waits is served in time. */
  private async settle(): Promise<void> {
    const waiting = this.processes.flatMap(({ pending }) => [...pending.keys()]);
    const bound = Math.max(1, waiting.length) * (LONGEST_HOLD + 2_000);
    await this.until(this.world.now + bound);
    const left = waiting.filter((task) => this.processes.some(({ pending }) => pending.has(task)));
    if (left.length > 0) {
      this.checkOrphans(left.flatMap(({ keys }) => keys));
      violated('liveness', `${left.length} of ${waiting.length} still wait after ${bound} ms`);
    }
    // Until those are done who got their lock last.
    await this.until(this.world.now + LONGEST_HOLD + 1_000);
    const running = this.processes.reduce((sum, process) => sum + process.running, 0);
    if (running > 0) violated('liveness', `${running} tasks never ended`);
  }

  /** Somebody waits for a key: does it wait for nobody? */
  private checkOrphans(keys: readonly string[]): void {
    const held = new Set(
      this.processes.flatMap(({ context }) => [...context.held.values()].map(({ id }) => id)),
    );
    for (const key of new Set(keys)) {
      for (const { token } of this.oracle.holders(key)) {
        const grant = this.oracle.grantAt(key, token);
        if (grant !== undefined && !held.has(grant.id)) {
          violated('orphan', `${key}: ${token} is held by nobody, and awaited`);
        }
      }
    }
  }

  /** All is released; then all is closed. Nothing must be left. */
  private async end(): Promise<void> {
    const { world, oracle, processes } = this;
    // What is kept by `holdAtLeast`, and what a thief has.
    await this.until(world.now + 1_500);
    oracle.touch(this.keys);
    const orphans = this.keys.filter((key) => oracle.holders(key).length > 0);
    if (orphans.length > 0) violated('orphan', `${orphans.join(', ')}: held by nobody`);
    for (const { context } of processes) {
      const { held, queues } = context;
      if (held.size + queues.size + queues.pending.size > 0) {
        violated('leftovers', 'leases or waiters in a process that has nothing to do');
      }
    }
    for (const process of processes) void process.close();
    await this.until(world.now + 4_000);
    const timers = processes.reduce((sum, { machine }) => sum + machine.timers, 0);
    if (timers > 0) violated('leftovers', `${timers} timers`);
    const left = oracle.leftovers();
    if (left.length > 0) violated('leftovers', left.join(', '));
  }

  private get keys(): readonly string[] {
    return [...this.schedule.keys, LEADER];
  }

  private get calm(): boolean {
    return this.world.now < this.calmUntil || this.world.now >= this.schedule.calmAt;
  }

  private fault(): Fault | undefined {
    const { schedule, tally } = this;
    const { network } = this.world;
    if (this.calm || !network.chance(schedule.faults)) return undefined;
    const kind = network.pick(FAULT_KINDS);
    tally.count(`fault ${kind}`);
    this.trace?.requestFault(kind);
    if (kind !== 'delay') return { kind };
    return { kind, before: network.between(0, LONGEST_DELAY), after: network.between(0, 1_000) };
  }

  private losesMessage(process: string, event: StoreEvent): boolean {
    const { world, schedule, tally } = this;
    if (this.calm || !world.network.chance(schedule.faults)) return false;
    tally.count('fault drop-message');
    this.trace?.messageFault(process, event);
    return true;
  }

  private disturb({ kind, process: index, key, ms }: Disturbance): void {
    const process = this.processes[index] as Process;
    const { machine } = process;
    switch (kind) {
      case 'pause':
      case 'suspend': {
        if (this.calm || machine.paused) return;
        this.tally.count(`fault ${kind}`);
        const still = Math.min(ms, this.schedule.calmAt - this.world.now);
        this.trace?.disturbance(kind, { process: process.name, ms: still });
        machine[kind](still);
        return;
      }
      case 'step':
        this.tally.count('fault step');
        this.trace?.disturbance(kind, { process: process.name, ms });
        machine.stepWall(ms);
        return;
      case 'force':
        this.trace?.disturbance(kind, { process: process.name, key });
        machine.enter(() => void process.force(key));
        return;
      case 'steal':
      case 'evict':
        this.endEarly(kind, key);
        return;
      case 'forget':
        this.tally.count('fault forget');
        this.trace?.disturbance(kind);
        for (const one of this.keys) this.oracle.endEarly(one);
        void this.server.forgetEverything();
        return;
      case 'close':
        if (machine.paused || process.closing) return;
        this.trace?.disturbance(kind, { process: process.name });
        this.calmUntil = this.world.now + CALM_FOR_CLOSING;
        machine.enter(() => void process.close());
    }
  }

  private endEarly(kind: 'steal' | 'evict', key: string): void {
    // A permit of nobody's name cannot be taken over.
    if (kind === 'steal' && maySeveralHold(key)) return;
    if (!this.oracle.endEarly(key)) return;
    this.tally.count(`fault ${kind}`);
    this.trace?.disturbance(kind, { key });
    if (kind === 'steal') void this.server.steal(key, { ttl: THEFT });
    else void this.server.evict(key);
  }
}

/**
 * Runs one seed.
 *
 * @throws Violation
 */
export async function simulate(seed: Seed, options: SimulationOptions = {}): Promise<Tally> {
  const simulation = new Simulation(seed, options);
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);
  process.on('unhandledRejection', note);
  const { stackTraceLimit } = Error;
  // Nobody reads the stacks of the errors that users get here, and they take a fifth of the time.
  Error.stackTraceLimit = 0;
  try {
    await simulation.run();
    // Node tells of them when it has nothing else to do, and a run leaves it no time.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    process.off('unhandledRejection', note);
    simulation.forget();
  }
  if (rejections.length > 0) violated('unhandled', rejections.map(String).join(', '));
  return simulation.tally;
}
