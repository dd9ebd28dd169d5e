import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { ClockTimer } from '@holdfast/core';
import { Machine } from '../machine.ts';
import type { World } from '../world.ts';

/** Whose code runs now. What follows from it, up to the next thing that happens, is of the same process. */
let current: Host | undefined;

function becomes(host: Host): void {
  current = host;
}

/** The machine of a process that uses Node's own clocks and timers, and may crash. */
export class Host extends Machine {
  isDead = false;

  constructor(
    readonly name: string,
    private readonly time: World,
    /** How fast its clocks go. */
    private readonly rate: number,
  ) {
    super(time);
  }

  override now(): number {
    return super.now() * this.rate;
  }

  override bootNow(): number {
    return super.bootNow() * this.rate;
  }

  override wallNow(): number {
    return super.wallNow() + this.time.now * (this.rate - 1);
  }

  override setTimeout(callback: () => void, ms: number): ClockTimer {
    return super.setTimeout(callback, ms / this.rate);
  }

  override enter(run: () => void): void {
    if (this.isDead) return;
    super.enter(() => {
      if (this.isDead) return;
      becomes(this);
      run();
    });
  }

  /** The process is gone, and nothing of it runs any more. */
  crash(): void {
    this.isDead = true;
  }
}

/** A timer as Node has them. */
class NodeTimer {
  constructor(
    readonly host: Host,
    readonly timer: ClockTimer,
  ) {}

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

function currentHost(): Host {
  if (current === undefined) throw new Error('No simulated process runs.');
  return current;
}

/**
 * Puts the clocks, timers and chance of the process that runs in the place of Node's, for code that uses
 * those. Nothing of a simulation may be under way in a turn of Node's event loop.
 *
 * @returns puts them back
 */
export function replaceGlobals(world: World): () => void {
  const globals = globalThis as unknown as Record<string, unknown>;
  const names = ['setTimeout', 'clearTimeout', 'setImmediate'] as const;
  const before = Object.fromEntries(names.map((name) => [name, globals[name]]));
  const { random } = Math;
  const { randomBytes } = crypto;
  globals['setTimeout'] = (callback: () => void, ms = 1): NodeTimer => {
    const machine = currentHost();
    return new NodeTimer(machine, machine.setTimeout(callback, ms));
  };
  globals['clearTimeout'] = (timer: NodeTimer | undefined): void => {
    timer?.host.clearTimeout(timer.timer);
  };
  globals['setImmediate'] = (callback: () => void): void => {
    const machine = currentHost();
    world.after(0, () => machine.enter(callback));
  };
  performance.now = () => currentHost().now();
  Math.random = () => world.random();
  crypto.randomBytes = (size: number) =>
    Buffer.from(Array.from({ length: size }, () => world.between(0, 255)));
  syncBuiltinESMExports();
  return () => {
    Object.assign(globals, before);
    // What was put before the method of its class.
    delete (performance as { now?: unknown }).now;
    Math.random = random;
    crypto.randomBytes = randomBytes;
    syncBuiltinESMExports();
    current = undefined;
  };
}
