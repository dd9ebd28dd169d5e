import { listenOnChannels } from '../listeners.ts';
import { Deeds } from '../election.ts';
import { LEADER, LONGEST_HOLD } from '../schedule.ts';
import type { Seed } from '../seed.ts';
import { violated, type Invariant } from '../violation.ts';
import { World } from '../world.ts';
import type { Branches } from './branches.ts';
import { Checks, lockOf, LONGEST_SPLIT } from './checks.ts';
import { Item } from './dataset.ts';
import { Disturber } from './disturber.ts';
import { Host, replaceGlobals } from './host.ts';
import { LuaRuntime } from './lua.ts';
import { Member } from './member.ts';
import { Network, type LinkFault } from './network.ts';
import { Register } from './register.ts';
import { draw, type StackSchedule } from './schedule.ts';
import type { RedisServer } from './server.ts';
import type { StackServer } from './stack-server.ts';
import { StackTally } from './tally.ts';
import { topologyOf, type Topology, type TopologyName } from './topology.ts';

/** All that happens, chosen by hand. */
interface StackPlan {
  readonly schedule: StackSchedule;
  /** What becomes of the next request. */
  readonly nextFault: () => LinkFault | undefined;
  /** Whether the connection breaks on which the next message of a channel comes. */
  readonly breaksNextMessage: () => boolean;
}

/** What is different from a plain run. */
export interface StackOptions {
  /** Puts a bug into the scripts, to show that it is noticed. */
  readonly rewrite?: ((source: string) => string) | undefined;
  /** Told which branches of the scripts are taken. */
  readonly branches?: Branches | undefined;
  /** Every callback of a user does something at random, see `SimulationOptions`. */
  readonly misbehaving?: boolean | undefined;
  /** Invariants that are not looked at, to show that others notice too. */
  readonly blind?: readonly Invariant[] | undefined;
  /** What happens, instead of what the seed draws. */
  readonly plan?: StackPlan | undefined;
  /** Told what happens, one line each. */
  readonly trace?: ((line: string) => void) | undefined;
}

/** A closing process gets its last requests through, so that it leaves nothing behind. */
const CALM_FOR_CLOSING = 3_000;
/** The longest lease of a task, in ms: what a process that has crashed may leave behind. */
const LONGEST_LEASE = 25_000;
/** The scripts that an uncontended lock costs: one to acquire, one to release; of each server of a quorum. */
const SCRIPTS_PER_LOCK = 2;
const DAY = 86_400_000;

let runtime: Promise<LuaRuntime> | undefined;

/** One seeded run of the real stores, with the real scripts, on simulated servers. */
class StackSimulation {
  readonly tally = new StackTally();
  readonly schedule: StackSchedule;
  readonly topology: Topology;
  readonly register: Register;
  readonly checks: Checks;
  readonly network: Network;
  members: Member[] = [];
  /** Nothing goes wrong until then, so that a process can close. */
  calmUntil = 0;
  /** When the last pause is over, and all else that was under way. */
  settledAt = 0;
  readonly unsubscribe: () => void;
  private births = 0;
  private readonly deeds: Deeds;
  private readonly disturber: Disturber;

  constructor(
    readonly world: World,
    name: TopologyName,
    lua: LuaRuntime,
    private readonly options: StackOptions,
  ) {
    const { plan } = options;
    const schedule = plan?.schedule ?? draw(world, name);
    this.schedule = schedule;
    this.disturber = new Disturber(this);
    const { rewrite = (source: string) => source, blind = [] } = options;
    this.register = new Register(world, (what) => this.tally.count(what));
    this.deeds = new Deeds(world, this.tally.deeds, (term) =>
      this.register.isExcused(lockOf(LEADER), term),
    );
    this.network = new Network(
      world,
      schedule.latency,
      plan?.nextFault ?? (() => this.disturber.linkFault()),
      plan?.breaksNextMessage ?? (() => this.disturber.breaksMessages()),
    );
    this.topology = topologyOf(name, world, this.network, lua, {
      lag: schedule.lag,
      reconnectsOnReadOnly: schedule.reconnectsOnReadOnly,
      lockKeys: [...schedule.keys, LEADER, 'solo'].map(lockOf),
      rewrite,
      branches: options.branches,
      onScript: (server, keys, source, client) => {
        this.traceLocks(server, keys, client);
        this.register.ran(server, keys, source);
      },
      onMove: (key, from, to) => {
        if (key.endsWith('}')) this.register.moved(key, from, to);
      },
      onFailover: (_group, from, to) => this.failedOver(from, to),
      onRequest: (server, lock, client) => {
        this.traceLocks(server, [lock], client);
        this.register.ran(server, [lock]);
      },
      onForce: (lock) => this.register.isForced(lock),
    });
    this.register.watch(this.topology);
    this.checks = new Checks(world, this.topology, this.register, new Set(blind));
    this.members = Array.from({ length: schedule.processes }, (_, index) => this.birth(index));
    this.unsubscribe = options.misbehaving === true ? this.listen() : () => {};
  }

  get calm(): boolean {
    return this.world.now < this.calmUntil || this.world.now >= this.schedule.calmAt;
  }

  async run(): Promise<void> {
    const { world, schedule } = this;
    for (const task of schedule.tasks) {
      world.after(task.at, () => {
        const member = this.members[task.process] as Member;
        if (!member.closing && !member.host.isDead) member.start(task);
      });
    }
    for (const election of schedule.elections) {
      world.after(election.at, () => {
        const member = this.members[election.process] as Member;
        if (!member.closing && !member.host.isDead) member.campaign(election.ms, this.deeds);
      });
    }
    for (const disturbance of schedule.disturbances) {
      world.after(disturbance.at, () => this.disturber.disturb(disturbance));
    }
    await this.until(schedule.calmAt);
    await this.until(Math.max(world.now, this.settledAt));
    await this.settle();
    await this.checkBudget();
    await this.end();
  }

  /** A process begins, in the place of one that is gone. */
  birth(index: number): Member {
    const { world, tally, options, schedule } = this;
    const name = `process-${index}.${this.births++}`;
    const host = new Host(name, world, 1 + (world.random() - 0.5) / 125);
    let member: Member | undefined;
    host.enter(() => {
      const own = this.topology.open(host);
      const close = (process: unknown): void => this.close(process as Member);
      const misbehaviour =
        options.misbehaving === true ? { keys: schedule.keys, close } : undefined;
      const patient = (): boolean => this.settledAt < schedule.calmAt + 10_000;
      member = new Member(
        host,
        own,
        patient,
        name,
        world,
        tally.deeds,
        host,
        own.store,
        misbehaviour,
      );
    });
    return member as Member;
  }

  close(member: Member): void {
    if (member.machine.paused || member.closing || member.host.isDead) return;
    this.calmUntil = this.world.now + CALM_FOR_CLOSING;
    member.machine.enter(() => void member.close());
  }

  /** Tells what happens. */
  trace(line: string): void {
    this.options.trace?.(`${this.world.now.toFixed(1).padStart(9)}  ${line}`);
  }

  private traceLocks(server: StackServer, keys: readonly string[], client: string): void {
    if (this.options.trace === undefined) return;
    for (const key of keys.filter((one) => one.endsWith('}'))) {
      const parts = [key, `${key}:holders`].map((one) => server.data.get(one));
      const shown = parts.filter((one) => one !== undefined).map(shownOf);
      this.trace(`${server.address} for ${client}: ${key} is ${shown.join(', ') || 'not there'}`);
    }
  }

  private listen(): () => void {
    // By their names, which those that come later have too.
    const members = {
      find: (is: (member: Member) => boolean): Member | undefined => this.members.find(is),
    };
    return listenOnChannels(members as never);
  }

  private failedOver(from: RedisServer, to: RedisServer): void {
    this.trace(`${to.address} takes the place of ${from.address}`);
    if (this.topology.name === 'durability') this.checks.checkDurable(to, this.members);
    this.register.failedOver(from, to);
    this.checks.disturbed();
  }

  private until(at: number): Promise<void> {
    const { world, checks } = this;
    return world.run(at, () => {
      checks.check(this.members);
      checks.checkIdle(this.members);
    });
  }

  /** Nothing goes wrong any more: everybody who waits is served in time. */
  private async settle(): Promise<void> {
    const { world, members } = this;
    const waiting = members.flatMap(({ pending }) => [...pending.keys()]);
    const each = LONGEST_HOLD + 2_000;
    const bound = LONGEST_LEASE + LONGEST_SPLIT + waiting.length * each;
    await this.until(world.now + bound);
    const left = waiting.filter((task) => members.some(({ pending }) => pending.has(task)));
    if (left.length > 0) {
      violated('liveness', `${left.length} of ${waiting.length} still wait after ${bound} ms`);
    }
    await this.until(world.now + LONGEST_HOLD + 1_000);
    const running = members.reduce((sum, member) => sum + member.running, 0);
    if (running > 0) violated('liveness', `${running} tasks never ended`);
    this.tally.most('longest idle', this.checks.longestIdle);
  }

  /** What a lock costs that nobody else wants. */
  private async checkBudget(): Promise<void> {
    const { topology, options } = this;
    // Whatever a callback asks for then is not of this lock.
    if (options.misbehaving === true) return;
    const member = this.members.find(({ closing, host }) => !closing && !host.isDead);
    if (member === undefined) return;
    // Its server may have forgotten the scripts: this one brings them back.
    await this.solo(member);
    const before = member.scripts;
    await this.solo(member);
    const cost = member.scripts - before;
    const most = SCRIPTS_PER_LOCK * topology.groups.length ** (topology.name === 'quorum' ? 1 : 0);
    if (cost > most) violated('budget', `a lock costs ${cost} scripts where ${most} are enough`);
  }

  private async solo(member: Member): Promise<void> {
    let done = false;
    member.machine.enter(() => {
      void member.solo('solo').then(() => (done = true));
    });
    await this.until(this.world.now + 500);
    if (!done) violated('liveness', 'a lock that nobody else wants is not had');
  }

  /** All is released; then all is closed. Nothing must be left. */
  private async end(): Promise<void> {
    const { world, members, topology, schedule } = this;
    for (const lock of [...schedule.keys, LEADER].map(lockOf)) {
      if (this.checks.isBusy(lock)) violated('orphan', `${lock}: held by nobody`);
    }
    for (const { context } of members) {
      const { held, queues } = context;
      if (held.size + queues.size + queues.pending.size > 0) {
        violated('leftovers', 'leases or waiters in a process that has nothing to do');
      }
    }
    for (const member of members) member.machine.enter(() => void member.close());
    await this.until(world.now + 8_000);
    for (const { machine, own } of members) {
      if (machine.timers > 0) violated('leftovers', `${machine.timers} timers`);
      const users = new Set(own.clients.flatMap((client) => client.kept()));
      const others = [...own.connections].filter((connection) => !users.has(connection));
      if (others.length > 0) violated('leftovers', `${others.length} connections`);
      const listeners = own.clients.flatMap((client) => client.eventNames());
      if (listeners.length > 0) violated('leftovers', `listeners for ${listeners.join(', ')}`);
    }
    await this.until(world.now + LONGEST_LEASE + LONGEST_SPLIT);
    for (const { primary } of topology.groups) {
      // The key of a lock stays for a day, with the last token; what has run out may be in there too.
      const more = primary.data.keys().filter((key) => !key.endsWith('}'));
      if (more.length > 0) violated('server-leftovers', more.join(', '));
    }
    await this.until(world.now + 1.1 * DAY);
    for (const { primary } of topology.groups) {
      const keys = primary.data.keys();
      if (keys.length > 0) violated('server-leftovers', `after a day: ${keys.join(', ')}`);
    }
  }
}

/** What a key holds, for people. */
function shownOf(value: unknown): string {
  if (value instanceof Item) return `${JSON.stringify(value.value)} until ${value.ends} s`;
  return value instanceof Map ? JSON.stringify(Object.fromEntries(value)) : String(value);
}

export type { StackSimulation };

/**
 * Runs one seed on one topology.
 *
 * @throws Violation
 */
export async function simulateStack(
  seed: Seed,
  topology: TopologyName,
  options: StackOptions = {},
): Promise<StackTally> {
  const lua = await (runtime ??= LuaRuntime.start());
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);
  process.on('unhandledRejection', note);
  let simulation: StackSimulation | undefined;
  let restore: (() => void) | undefined;
  const { stackTraceLimit } = Error;
  // Nobody reads the stacks of the errors that users get here, and they take a tenth of the time.
  if (options.trace === undefined) Error.stackTraceLimit = 0;
  try {
    const world = new World(seed);
    restore = replaceGlobals(world);
    simulation = new StackSimulation(world, topology, lua, options);
    await simulation.run();
    restore();
    // Node tells of them when it has nothing else to do, and a run leaves it no time.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    restore?.();
    process.off('unhandledRejection', note);
    simulation?.unsubscribe();
  }
  if (rejections.length > 0) violated('unhandled', rejections.map(String).join(', '));
  return simulation.tally;
}
