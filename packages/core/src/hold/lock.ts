import type { inspect as Inspect } from 'node:util';
import type { Lock } from '../types.ts';
import { listen, unlisten } from '../util/abort-listeners.ts';
import { LockArgumentError, type LockLostError } from '../errors.ts';
import type { AsyncContext, HeldLockEvent } from '../events.ts';
import type { LockSettings } from '../options.ts';
import { Lease, ownerOf, Released, type Grant } from './lease.ts';
import { HANDLE, type HandleInternals } from './handle.ts';
import { HANDLE_DROPPED, shownOf } from './lock-views.ts';
import { INSPECT, inspected } from '../util/inspection.ts';
import { isUnheard, LOSS_UNHEARD } from './unheard.ts';
import { endReason, fireSignal, newController, signalOf, type Signalling } from './signal.ts';
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

  get maxHoldAt(): number {
    return this.grantedAt + this.settings.maxHold;
  }

  get keepUntil(): number {
    return this.grantedAt + this.settings.holdAtLeast;
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

  /** Tells of the grant, after `waited` ms; `waiter`: if it was told to wait, its number. */
  announce(waited: number, waiter?: number, within?: AsyncContext): void {
    const { events } = this.settings.context;
    if (!events.heard('acquired')) return;
    const about = { ...eventOf(this), waited, waiter };
    events.emit('acquired', about, within ?? events.contextOfCall());
  }

  /** The caller's own abort: the lock is held on, but not renewed. */
  handleEvent(): void {
    if (this.ended !== undefined) return;
    const { notices } = this.settings.context;
    notices.begin();
    this.setRenewing(false);
    // Made now if need be, so that a later release does not become its reason.
    this.controller ??= newController();
    fireSignal(this, notices);
    notices.end();
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
      const { notices } = context;
      notices.begin();
      unlisten(this.settings.signal, this);
      this.ended = Released.done;
      fireSignal(this, notices);
      if (context.events.heard('released')) {
        const heldFor = now - this.grantedAt;
        context.events.emit('released', { ...eventOf(this), heldFor });
      }
      const released = context.held.release(this, now);
      if (released instanceof Promise) this.ended = new Released(released);
      notices.end();
      return released;
    }
    if (this.ended instanceof Released) return this.ended.pending?.then(() => false) ?? false;
    return context.releases.releaseLost(this);
  }

  protected lost(error: LockLostError): void {
    const { context, onLost, signal } = this.settings;
    unlisten(signal, this);
    fireSignal(this, context.notices);
    if (context.events.heard('lost')) {
      const { reason, heldFor } = error;
      context.events.emit('lost', { ...eventOf(this), reason, heldFor });
    }
    if (onLost !== undefined) context.events.call(() => onLost(error));
    if (isUnheard(this, this.renews)) context.events.warn('HOLDFAST_LOSS_UNHEARD', LOSS_UNHEARD);
  }
}

/** What every event about a held lock tells. */
export function eventOf(lock: Lock): Omit<HeldLockEvent, 'locker' | 'store'> {
  const { key, keys, label, owner, fencingToken } = lock;
  return { key, keys, label, owner, fencingToken };
}
