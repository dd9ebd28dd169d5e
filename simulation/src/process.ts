import {
  LockerClosedError,
  LockNotAcquiredError,
  LockStoreError,
  type Lock,
  type LockOptions,
  type LockStore,
  type StoreEvent,
} from '@holdfast/core';
// The parts of the engine, to look into what users cannot see.
import { Context } from '../../packages/core/src/context.ts';
import { HoldfastLocker } from '../../packages/core/src/locker.ts';
import { resolveLockerOptions } from '../../packages/core/src/options.ts';
import { Machine } from './machine.ts';
import type { Task } from './schedule.ts';
import type { Tally } from './tally.ts';
import { Transport } from './transport.ts';
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

/** One simulated process: a locker of its own on a machine of its own. */
export class Process {
  readonly machine: Machine;
  readonly context: Context;
  /** Calls that are not settled, and since when. */
  readonly pending = new Map<Task, number>();
  readonly controllers: WatchedController[] = [];
  closing = false;
  /** Tasks that are not done. */
  running = 0;
  private readonly locker: HoldfastLocker;

  constructor(
    private readonly world: World,
    private readonly tally: Tally,
    server: LockStore,
    latency: number,
    loses: (event: StoreEvent) => boolean,
  ) {
    this.machine = new Machine(world);
    const store = new Transport(world, this.machine, server, loses, latency);
    this.context = new Context(store, resolveLockerOptions({}), this.machine);
    this.locker = new HoldfastLocker(this.context);
    this.locker.on('lost', ({ reason }) => tally.count(`lost ${reason}`));
    this.locker.on('handoff', () => tally.count('hand-offs'));
  }

  start(task: Task): void {
    this.machine.enter(() => {
      this.running += 1;
      void this.perform(task).then(
        () => (this.running -= 1),
        (error: unknown) => this.failed(error),
      );
    });
  }

  async force(key: string): Promise<void> {
    await this.locker.forceRelease(key).catch(() => {});
  }

  async close(): Promise<void> {
    this.closing = true;
    await this.locker.close({ drain: this.world.pick([0, 500]) });
  }

  private failed(error: unknown): void {
    this.world.after(0, () => {
      throw error as Error;
    });
  }

  private async perform(task: Task): Promise<void> {
    this.tally.count('operations');
    const controller = new WatchedController();
    const reason = new Error('changed its mind');
    const options = optionsOf(task, controller.signal);
    this.pending.set(task, this.world.now);
    this.controllers.push(controller);
    if (task.abortAfter !== undefined) this.abortLater(task, controller, reason);
    try {
      if (task.callback) {
        const work = (lock: Lock): Promise<string> => this.work(task, lock);
        const done = await this.locker.withLock(task.keys, options, work);
        if (done !== 'done') violated('errors', `withLock gave ${done}`);
      } else {
        const lock = await this.locker.lock(task.keys, options);
        await this.work(task, lock);
        await lock.release();
        // A release too many does nothing, whoever holds the lock by then.
        await this.machine.sleep(task.hold);
        if (await lock.release()) violated('errors', 'a second release claims to have freed');
      }
    } catch (error) {
      this.settled(task);
      this.expect(error, reason);
    }
    if (controller.listeners > 0) violated('leftovers', 'a listener on the signal of the caller');
  }

  private settled(task: Task): void {
    const since = this.pending.get(task);
    this.pending.delete(task);
    if (since === undefined || this.machine.disturbedSince(since)) return;
    const waited = this.world.now - since;
    const limit = task.wait === 0 ? Math.min(task.ttl / 2, 2_000) : task.wait;
    if (waited > limit + 100) violated('limit', `waited ${waited} ms where ${limit} were allowed`);
  }

  private abortLater(task: Task, controller: AbortController, reason: Error): void {
    this.machine.setTimeout(() => {
      const waiting = this.pending.has(task);
      controller.abort(reason);
      const at = this.world.now;
      if (!waiting) return;
      this.tally.count('aborts');
      this.world.after(50, () => {
        if (this.pending.has(task) && !this.machine.disturbedSince(at)) {
          violated('abort-prompt', 'still waiting 50 ms after the abort');
        }
      });
    }, task.abortAfter ?? 0);
  }

  private async work(task: Task, lock: Lock): Promise<string> {
    this.settled(task);
    const listens = this.world.chance(0.5);
    if (listens) lock.signal.addEventListener('abort', () => {}, { once: true });
    await this.machine.sleep(task.hold / 2);
    if (task.extendTo !== undefined) await this.extend(lock, task.extendTo);
    await this.machine.sleep(task.hold / 2);
    if (lock.state !== 'held' && !lock.signal.aborted) {
      violated('signal-fired', 'a lock that is not held has a signal that has not fired');
    }
    return 'done';
  }

  private async extend(lock: Lock, ttl: number): Promise<void> {
    await lock.extend(ttl).then(
      () => this.tally.count('extensions'),
      () => {},
    );
  }

  /** Only these may happen. */
  private expect(error: unknown, reason: Error): void {
    if (error === reason || (error instanceof LockerClosedError && this.closing)) return;
    if (error instanceof LockNotAcquiredError || error instanceof LockStoreError) {
      this.tally.count('refusals');
      return;
    }
    throw error;
  }
}

function optionsOf(task: Task, signal: AbortSignal): LockOptions {
  const { wait, ttl, owner, renew, maxHold, holdAtLeast } = task;
  return { wait, ttl, owner, renew, maxHold, holdAtLeast, signal };
}
