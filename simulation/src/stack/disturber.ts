import { slotOf } from '../../../packages/redis/src/commands/slots.ts';
import { lockOf } from './checks.ts';
import type { Member } from './member.ts';
import type { LinkFault } from './network.ts';
import { MOST_AHEAD } from './register.ts';
import type { Disturbance } from './schedule.ts';
import { RedisServer } from './server.ts';
import type { StackSimulation } from './simulate.ts';
import type { StackServer } from './stack-server.ts';
import type { ServerGroup } from './topology.ts';

const LINK_FAULTS = [
  'cut-before',
  'cut-after',
  'cut-late',
  'late-request',
  'late-reply',
] as const satisfies readonly LinkFault['kind'][];

/** What a request or an answer may be late, in ms. */
const LONGEST_DELAY = 3_000;
/** Small steps of a server's clock may add up, to so many in a run. */
const SMALL_STEPS = 1;

/** Does what goes wrong. */
export class Disturber {
  private smallSteps = 0;

  constructor(private readonly simulation: StackSimulation) {}

  /** What happens to a request. */
  linkFault(): LinkFault | undefined {
    const { schedule, calm } = this.simulation;
    const { network } = this.simulation.world;
    if (calm || !network.chance(schedule.faults)) return undefined;
    const kind = network.pick(LINK_FAULTS);
    this.note(kind, LONGEST_DELAY, kind);
    if (kind === 'cut-before' || kind === 'cut-after') return { kind };
    return { kind, ms: network.between(1, network.pick([100, LONGEST_DELAY])) };
  }

  /** Whether a connection for messages breaks, and its client does not notice yet. */
  breaksMessages(): boolean {
    const { world, schedule, calm } = this.simulation;
    if (calm || !world.network.chance(schedule.faults)) return false;
    this.note('half-open', LONGEST_DELAY, 'half-open');
    return true;
  }

  disturb(disturbance: Disturbance): void {
    if (this.simulation.calm) return;
    const { kind } = disturbance;
    const ms = 'ms' in disturbance ? Math.max(disturbance.ms, 0) : 0;
    if (!this.disturbProcess(disturbance) && !this.disturbServer(disturbance)) return;
    this.note(kind, kind === 'step' || kind === 'clock' ? 0 : ms, JSON.stringify(disturbance));
  }

  /** @returns whether it has happened */
  private disturbProcess(disturbance: Disturbance): boolean {
    if (!('process' in disturbance)) return false;
    const { simulation } = this;
    const member = simulation.members[disturbance.process] as Member;
    const { machine, host } = member;
    if (host.isDead) return false;
    switch (disturbance.kind) {
      case 'pause':
      case 'suspend':
        if (machine.paused) return false;
        machine[disturbance.kind](disturbance.ms);
        return true;
      case 'step':
        machine.stepWall(disturbance.ms);
        return true;
      case 'crash':
        this.crash(member, disturbance.process, disturbance.ms);
        return true;
      case 'close':
        simulation.close(member);
        return true;
      case 'force':
        machine.enter(() => void member.force(this.heldKey(disturbance.key)));
        return true;
      case 'silence':
        simulation.network.silence(host, this.groupAt(disturbance.server).primary, disturbance.ms);
        return true;
      default:
        return false;
    }
  }

  /** @returns whether it has happened */
  private disturbServer(disturbance: Disturbance): boolean {
    if (!('server' in disturbance) || disturbance.kind === 'silence') return false;
    const { world, topology } = this.simulation;
    const group = this.groupAt(disturbance.server);
    const { primary } = group;
    if (!primary.isUp || group.busyUntil > world.now) return false;
    switch (disturbance.kind) {
      case 'freeze':
        primary.freeze(disturbance.ms);
        return true;
      case 'full':
        if (!(primary instanceof RedisServer)) return false;
        primary.isFull = true;
        world.after(disturbance.ms, () => (primary.isFull = false));
        return true;
      case 'stall':
        group.stall(disturbance.ms);
        return true;
      case 'restart':
        this.restart(group, disturbance.ms, true, disturbance.loading);
        return true;
      case 'lose-data':
        this.restart(group, disturbance.ms, false, 0);
        return true;
      case 'flush-scripts':
        if (!(primary instanceof RedisServer)) return false;
        primary.flushScripts();
        return true;
      case 'delete':
        this.deleteLock(primary, this.heldKey(disturbance.key));
        return true;
      case 'clock':
        if (!(primary instanceof RedisServer)) return false;
        return this.stepClock(primary, disturbance.ms);
      case 'failover':
        return group.failOver(disturbance.old, disturbance.ms);
      default: {
        const slot = slotOf(lockOf(disturbance.key));
        return topology.moveSlot(slot, disturbance.server, disturbance.ms);
      }
    }
  }

  private crash(member: Member, index: number, ms: number): void {
    const { simulation } = this;
    const { world, schedule, members } = simulation;
    member.crash();
    world.after(ms, () => {
      const reborn = simulation.birth(index);
      members[index] = reborn;
      // It goes on with what it had begun under a name of its own.
      for (const task of schedule.tasks) {
        const isRecent = task.at < world.now && task.at > world.now - ms - 500;
        if (task.process === index && task.owner !== undefined && isRecent) reborn.start(task);
      }
    });
  }

  private restart(group: ServerGroup, ms: number, keepsData: boolean, loading: number): void {
    const { world, register } = this.simulation;
    const { primary } = group;
    group.busyUntil = world.now + ms + loading;
    if (!keepsData) register.excuseAll(primary, 'lost-data');
    primary.stop();
    world.after(ms, () => primary.start(keepsData, loading));
  }

  /** A key that somebody holds, if any is: rather this one. */
  private heldKey(key: string): string {
    const { schedule, checks } = this.simulation;
    const isHeld = (one: string): boolean => checks.isBusy(lockOf(one));
    return [key, ...schedule.keys].find(isHeld) ?? key;
  }

  private deleteLock(server: StackServer, key: string): void {
    const lock = lockOf(key);
    this.simulation.register.deleted(server, lock);
    for (const one of server.data.keys()) if (one.startsWith(lock)) server.data.delete(one);
    if (server instanceof RedisServer) server.written();
  }

  private stepClock(server: RedisServer, ms: number): boolean {
    if (ms > 0 && ms <= MOST_AHEAD) {
      // More of them would be more than the safety margin of a short lease.
      if (this.smallSteps === SMALL_STEPS) return false;
      this.smallSteps += 1;
    }
    if (ms > MOST_AHEAD) this.simulation.register.excuseAll(server, 'clock');
    server.step(ms);
    return true;
  }

  private groupAt(index: number): ServerGroup {
    const { groups } = this.simulation.topology;
    return groups[index % groups.length] as ServerGroup;
  }

  /** Something happens, and is over after so many ms. */
  private note(kind: string, ms: number, details: string): void {
    const { simulation } = this;
    simulation.trace(details);
    const { tally, world, checks } = simulation;
    tally.count(`fault ${kind}`);
    simulation.settledAt = Math.max(simulation.settledAt, world.now + ms);
    checks.disturbed();
    if (ms > 0) world.after(ms, () => checks.disturbed());
  }
}
