import {
  LockConflictError,
  LockerClosedError,
  LockNotAcquiredError,
  LockStoreError,
  type Lock,
  type LockOptions,
  type LockStore,
} from '@holdfast/core';
// The parts of the engine, to look into what users cannot see.
import { Context } from '../../packages/core/src/context.ts';
import { HoldfastLocker } from '../../packages/core/src/locker.ts';
import { resolveLockerOptions } from '../../packages/core/src/options.ts';
import { CallOrder } from './call-order.ts';
import { campaign, type Deeds } from './election.ts';
import type { Machine } from './machine.ts';
import { EVENTS } from './listeners.ts';
import { isDisputed, taskOf, type Task } from './schedule.ts';
import type { Tally } from './tally.ts';
import { violated } from './violation.ts';
import type { World } from './world.ts';

/** An abort signal that knows who listens. */
class WatchedController extends AbortController {
  listeners = 0;

  constructor() {
    super();
    const { signal } = this;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    const known = new Set<unknown>();
    signal.addEventListener = (type: string, listener: never, options?: never) => {
      if (!known.has(listener)) this.listeners += 1;
      known.add(listener);
      add(type, listener, options);
    };
    signal.removeEventListener = (type: string, listener: never) => {
      if (known.delete(listener)) this.listeners -= 1;
      remove(type, listener);
    };
  }
}

/** A caller, who may change its mind. */
interface Caller {
  readonly controller: WatchedController;
  readonly reason: Error;
}

/** What user code does that a locker calls: one thing at a time, and not for ever. */
export interface Misbehaviour {
  readonly keys: readonly string[];
  /** Closes the process, as the world sees it. */
  readonly close: (process: Process) => void;
}

/** How often the callbacks of one process do something at most, and how probably each time. */
const MISDEEDS = 40;
const MISCHIEF = 0.3;

/** One simulated process: a locker of its own on a machine of its own. */
export class Process {
  readonly context: Context;
  /** Calls that are not settled, and since when. */
  readonly pending = new Map<Task, number>();
  closing = false;
  /** Tasks that are not done. */
  running = 0;
  readonly locker: HoldfastLocker;
  private readonly order = new CallOrder();
  private readonly callers = new Map<Task, Caller>();
  /**
   * Handles that nobody looks at any more; were they collected, that would be another story. They are to be
   * let go when the run is over: whoever watches a handle keeps its lock, and by that this process, and
   * would never see that only the process has the handle.
   */
  readonly crashed: Lock[] = [];
  /** Locks that tasks work under. */
  private readonly locks = new Set<Lock>();
  private misdeeds = 0;

  constructor(
    readonly name: string,
    private readonly world: World,
    private readonly tally: Tally,
    readonly machine: Machine,
    store: LockStore,
    private readonly misbehaviour?: Misbehaviour,
  ) {
    const ttl = Math.max(1_000, store.capabilities.minTtl);
    this.context = new Context(store, resolveLockerOptions({ name, ttl }), this.machine);
    this.locker = new HoldfastLocker(this.context);
    this.locker.on('lost', ({ reason }) => tally.count(`lost ${reason}`));
    this.locker.on('handoff', () => tally.count('hand-offs'));
    if (misbehaviour === undefined) return;
    for (const event of EVENTS) this.locker.on(event, () => this.misbehave('event'));
  }

  /**
   * What a callback of the user's does: anything. Nothing is thrown where Node itself ends the process
   * for it: in abort listeners and subscribers of channels.
   */
  misbehave(where: 'event' | 'onLost' | 'abort' | 'channel'): void {
    const { world, misbehaviour, tally } = this;
    if (misbehaviour === undefined || this.misdeeds >= MISDEEDS || !world.chance(MISCHIEF)) return;
    this.misdeeds += 1;
    tally.count('misdeeds');
    const deeds = ['abort', 'abort', 'lock', 'lock', 'release', 'release', 'extend', 'throw'];
    const deed = world.chance(0.01) ? 'close' : world.pick(deeds);
    switch (deed) {
      case 'abort':
        if (this.callers.size > 0) this.abort(world.pick([...this.callers.keys()]));
        return;
      case 'lock':
        if (!this.closing) this.start(this.urgent(misbehaviour.keys));
        return;
      case 'release':
        if (this.locks.size > 0) void world.pick([...this.locks]).release();
        return;
      case 'extend':
        if (this.locks.size > 0) void this.extend(world.pick([...this.locks]), 1_000);
        return;
      case 'close':
        if (!this.closing) misbehaviour.close(this);
        return;
      default:
        if (where === 'event' || where === 'onLost') throw new Error('misbehaves');
    }
  }

  /** A task that follows from a callback: it does not wait for ever. */
  protected urgent(keys: readonly string[]): Task {
    const task = taskOf(this.world, this.world.now, 0, keys);
    return { ...task, wait: Math.min(task.wait, 2_000), hold: Math.min(task.hold, 60) };
  }

  start(task: Task): void {
    this.machine.enter(() => {
      this.running += 1;
      void this.perform(task).then(
        () => (this.running -= 1),
        (error: unknown) => this.world.fail(error),
      );
    });
  }

  /** One who campaigns here for so many ms. */
  campaign(ms: number, deeds: Deeds): void {
    const { machine, world, tally } = this;
    this.running += 1;
    machine.enter(() => {
      campaign(this.locker, { world, machine, tally, deeds }, ms).then(
        () => (this.running -= 1),
        (error: unknown) => this.world.fail(error),
      );
    });
  }

  /** Ends what others hold, or one of them. */
  async force(key: string): Promise<void> {
    try {
      const info = this.world.chance(0.5) ? await this.locker.inspect(key) : null;
      const holders = info?.holders ?? [];
      const owner = holders.length > 0 ? this.world.pick(holders).owner : undefined;
      await this.locker.forceRelease(key, { owner });
    } catch {
      // The store is away.
    }
  }

  async close(): Promise<void> {
    this.closing = true;
    await this.locker.close({ drain: this.world.pick([0, 500]) });
  }

  private async perform(task: Task): Promise<void> {
    this.tally.count('operations');
    const controller = new WatchedController();
    const reason = new Error('changed its mind');
    const options = {
      ...optionsOf(task, controller.signal),
      ...(this.misbehaviour === undefined ? {} : this.misbehavingOptions()),
    };
    this.pending.set(task, this.world.now);
    this.order.asked(task);
    this.callers.set(task, { controller, reason });
    if (task.abortAfter !== undefined) {
      this.machine.setTimeout(() => this.abort(task), task.abortAfter);
    }
    try {
      if (task.callback) {
        const work = (lock: Lock): Promise<string> => this.work(task, lock);
        const done = await this.locker.withLock(task.keys, options, work);
        if (done !== 'done') violated('errors', `withLock gave ${done}`);
      } else {
        const lock = await this.locker.lock(task.keys, options);
        if (task.crashes) {
          this.settled(task, lock.fencingToken);
          this.tally.count('crashes');
          this.crashed.push(lock);
          return;
        }
        await this.work(task, lock);
        await lock.release();
        // A release too many does nothing, whoever holds the lock by then.
        await this.machine.sleep(task.hold);
        if (await lock.release()) violated('errors', 'a second release claims to have freed');
      }
    } catch (error) {
      this.settled(task);
      this.expect(error, reason, task);
    }
    this.callers.delete(task);
    if (controller.listeners > 0) violated('leftovers', 'a listener on the signal of the caller');
  }

  private misbehavingOptions(): LockOptions {
    // A callback may run in the context of a lock.
    return { onLost: () => this.misbehave('onLost'), reentry: 'ignore' };
  }

  /** @param token of what it got */
  private settled(task: Task, token?: number): void {
    this.order.settled(task, token);
    const since = this.pending.get(task);
    this.pending.delete(task);
    if (since === undefined || this.machine.disturbedSince(since)) return;
    const waited = this.world.now - since;
    const limit = task.wait === 0 ? Math.min(task.ttl / 2, 2_000) : task.wait;
    // Its clocks may be slower than the world's.
    if (waited > (limit + 100) * 1.01)
      violated('limit', `waited ${waited} ms where ${limit} were allowed`);
  }

  private abort(task: Task): void {
    const caller = this.callers.get(task);
    if (caller === undefined) return;
    const waiting = this.pending.has(task);
    caller.controller.abort(caller.reason);
    const at = this.world.now;
    if (!waiting) return;
    this.tally.count('aborts');
    this.world.after(50, () => {
      if (this.pending.has(task) && !this.machine.disturbedSince(at)) {
        violated('abort-prompt', 'still waiting 50 ms after the abort');
      }
    });
  }

  private async work(task: Task, lock: Lock): Promise<string> {
    this.settled(task, lock.fencingToken);
    const listens = this.world.chance(0.5);
    const told = (): void => this.misbehave('abort');
    if (listens) lock.signal.addEventListener('abort', told, { once: true });
    this.locks.add(lock);
    await this.machine.sleep(task.hold / 2);
    if (task.extendTo !== undefined) await this.extend(lock, task.extendTo);
    await this.machine.sleep(task.hold / 2);
    if (lock.state !== 'held' && !lock.signal.aborted) {
      violated('signal-fired', 'a lock that is not held has a signal that has not fired');
    }
    this.locks.delete(lock);
    return 'done';
  }

  private async extend(lock: Lock, ttl: number): Promise<void> {
    await lock.extend(ttl).then(
      () => this.tally.count('extensions'),
      () => {},
    );
  }

  /** Only these may happen. */
  protected expect(error: unknown, reason: Error, task: Task): void {
    if (error === reason || (error instanceof LockerClosedError && this.closing)) return;
    if (error instanceof LockConflictError && isDisputed(task.keys)) {
      this.tally.count('conflicts');
      return;
    }
    if (error instanceof LockNotAcquiredError || error instanceof LockStoreError) {
      this.tally.count('refusals');
      return;
    }
    throw error;
  }
}

function optionsOf(task: Task, signal: AbortSignal): LockOptions {
  const { wait, ttl, owner, renew, maxHold, holdAtLeast, keys, sharing } = task;
  const { shared, limits, weight } = sharing;
  const limit = keys.length === 1 ? limits[0] : limits;
  return { wait, ttl, owner, renew, maxHold, holdAtLeast, shared, limit, weight, signal };
}
