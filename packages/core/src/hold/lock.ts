import type { inspect as Inspect } from 'node:util';
import type { Lock } from '../types.ts';
import { listen } from '../util/abort-listeners.ts';
import { LockArgumentError, type LockLostError } from '../errors.ts';
import type { LockSettings } from '../options.ts';
import { Lease, ownerOf, Released, type Grant } from './lease.ts';
import { HANDLE, type HandleInternals } from './handle.ts';
import { HANDLE_DROPPED, shownOf } from './lock-views.ts';
import { INSPECT, inspected } from '../util/inspection.ts';
import { endLost, endReleased } from './lock-events.ts';
import { endReason, signalOf, type Signalling } from './signal.ts';
import type { MaybePromise, Sharing } from '../store.ts';

/** The handle of a lock with one key, and its lease: one object, for there may be very many. */
export class HeldLock extends Lease implements Lock, Signalling, HandleInternals {
  readonly key: string;
  controller: AbortController | undefined = undefined;
  running = false;
  handed: Lock | undefined = undefined;

  constructor(settings: LockSettings, key: string, stored: string, grant: Grant, now: number) {
    super(settings, stored, grant, now);
    this.key = key;
    if (settings.signal !== undefined) listen(settings.signal, this);
    settings.context.held.add(this);
  }

  get keys(): readonly string[] {
    return [this.key];
  }

  get label(): string {
    return this.settings.label;
  }

  get owner(): string {
    return this.settings.owner ?? ownerOf(this);
  }

  get fencingToken(): number {
    return this.token;
  }

  tokenFor(key: string): number {
    if (key === this.key) return this.token;
    throw new LockArgumentError('This lock does not cover that key.', { key });
  }

  get signal(): AbortSignal {
    this.isHeld();
    return signalOf(this);
  }

  get state(): 'held' | 'lost' | 'released' {
    if (this.isHeld()) return 'held';
    return this.ended instanceof Released ? 'released' : 'lost';
  }

  get remaining(): number {
    const now = this.settings.context.time.checkedNow();
    return this.isHeld(now) ? this.signalPoint - now : 0;
  }

  assertHeld(): void {
    if (!this.isHeld()) throw endReason(this) as Error;
  }

  extend(ttl?: number): Promise<void> {
    return this.settings.context.renewer.extend(this, [this], ttl);
  }

  release(): Promise<boolean> {
    const released = this.end();
    return released instanceof Promise ? released : Promise.resolve(released);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  toJSON(): object {
    const { keys, owner, fencingToken, state } = this;
    return { keys, owner, fencingToken, state };
  }

  [INSPECT](depth: number, options: object, inspect: typeof Inspect): string {
    return inspected('Lock', shownOf(this), depth, options, inspect);
  }

  // What follows is for the engine.

  get callerSignal(): AbortSignal | undefined {
    return this.settings.signal;
  }

  get handle(): this {
    return this;
  }

  get [HANDLE](): HandleInternals {
    return this;
  }

  get store(): object {
    return this.settings.context.store;
  }

  get storedKeys(): readonly string[] {
    return [this.stored];
  }

  sharingOf(): Sharing | undefined {
    return this.settings.sharing;
  }

  /** The caller's own abort: the lock is held on, but not renewed. */
  handleEvent(): void {
    if (this.ended !== undefined) return;
    this.setRenewing(false);
    // Made now if need be, so that a later release does not become its reason.
    signalOf(this);
  }

  dropped(): void {
    if (this.ended !== undefined || !this.renews) return;
    this.setRenewing(false);
    this.settings.context.events.warn('HOLDFAST_HANDLE_DROPPED', HANDLE_DROPPED);
  }

  renewing(on: boolean): void {
    this.setRenewing(on);
  }

  confirmed(): Promise<unknown> {
    return this.settings.context.releases.confirmed(this.id);
  }

  end(): MaybePromise<boolean> {
    const { context } = this.settings;
    const now = context.time.checkedNow();
    if (this.isHeld(now)) {
      endReleased(this, now);
      const released = context.held.release(this, now);
      if (released instanceof Promise) this.ended = new Released(released);
      if (this.controller !== undefined) signalOf(this);
      return released;
    }
    if (this.ended instanceof Released) return this.ended.pending?.then(() => false) ?? false;
    return context.releases.releaseLost(this);
  }

  protected lost(error: LockLostError): void {
    endLost(this, error, this.renews);
  }
}
