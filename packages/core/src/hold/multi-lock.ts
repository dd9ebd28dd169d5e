import type { inspect as Inspect } from 'node:util';
import type { Lock } from '../types.ts';
import { listen } from '../util/abort-listeners.ts';
import { LockArgumentError, LockLostError } from '../errors.ts';
import { HANDLE, type HandleInternals } from './handle.ts';
import { HANDLE_DROPPED, shownOf } from './lock-views.ts';
import { INSPECT, inspected } from '../util/inspection.ts';
import type { LockSettings } from '../options.ts';
import { Lease, Released, type Grant } from './lease.ts';
import { endLost, endReleased } from './lock-events.ts';
import { endReason, signalOf, type Signalling } from './signal.ts';
import type { MaybePromise, Sharing } from '../store.ts';

/** For how long, in ms, keys are kept for an owner that takes them over one by one. */
const TAKE_OVER = 1_000;

/** To whom a part belongs. */
export interface PartHolder {
  partLost(error: LockLostError, part: Part): void;
}

/** The lease of one of several keys. It belongs to the acquisition first, then to the handle. */
export class Part extends Lease {
  readonly key: string;
  holder: PartHolder;

  constructor(
    settings: LockSettings,
    key: string,
    stored: string,
    grant: Grant,
    now: number,
    holder: PartHolder,
  ) {
    super(settings, stored, grant, now);
    this.key = key;
    this.holder = holder;
    settings.context.held.add(this);
  }

  get handle(): MultiLock | undefined {
    return this.holder instanceof MultiLock ? this.holder : undefined;
  }

  /** While later keys are awaited, whatever is to become of the lock. */
  override get renews(): boolean {
    return this.handle === undefined || this.settings.renew;
  }

  // These count from the grant of the lock, which is that of the last key.

  override get maxHoldAt(): number {
    return this.handle?.maxHoldAt ?? Infinity;
  }

  override get keepUntil(): number {
    return this.handle?.keepUntil ?? 0;
  }

  /** Releases it, held or lost. What was released before may be another holder's by now. */
  finish(): MaybePromise<boolean> {
    const { context } = this.settings;
    if (this.ended instanceof Released) return false;
    if (!this.isHeld()) return context.releases.releaseLost(this);
    this.ended = Released.done;
    return context.held.release(this, context.time.now());
  }

  protected lost(error: LockLostError): void {
    this.holder.partLost(error, this);
  }
}

/** The handle of a lock with several keys: held as long as every one of them is. */
export class MultiLock implements Lock, Signalling, HandleInternals, PartHolder {
  ended: LockLostError | Released | undefined = undefined;
  controller: AbortController | undefined = undefined;
  running = false;
  handed: Lock | undefined = undefined;
  readonly grantedAt: number;

  constructor(
    public settings: LockSettings,
    readonly keys: readonly string[],
    private readonly parts: readonly Part[],
    /** Under each of the keys, but for those that others of this process have passed on. */
    readonly owner: string,
    now: number,
  ) {
    this.grantedAt = now;
    for (const part of parts) {
      part.holder = this;
      settings.context.renewer.schedule(part);
    }
    listen(settings.signal, this);
  }

  get key(): string {
    return this.keys[0] as string;
  }

  get label(): string {
    return this.settings.label;
  }

  get fencingToken(): number {
    return 0;
  }

  tokenFor(key: string): number {
    const part = this.parts.find((one) => one.key === key);
    if (part !== undefined) return part.token;
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
    if (!this.isHeld(now)) return 0;
    return Math.min(...this.parts.map((part) => part.signalPoint)) - now;
  }

  assertHeld(): void {
    if (!this.isHeld()) throw endReason(this) as Error;
  }

  extend(ttl?: number): Promise<void> {
    return this.settings.context.renewer.extend(this, this.parts, ttl);
  }

  release(): Promise<boolean> {
    return Promise.resolve(this.end());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  toJSON(): object {
    const { keys, owner, state } = this;
    const fencingTokens = this.parts.map((part) => part.token);
    return { keys, owner, fencingTokens, state };
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

  get [HANDLE](): HandleInternals {
    return this;
  }

  get store(): object {
    return this.settings.context.store;
  }

  get storedKeys(): readonly string[] {
    return this.parts.map((part) => part.stored);
  }

  sharingOf(stored: string): Sharing | undefined {
    return this.parts.find((part) => part.stored === stored)?.settings.sharing;
  }

  /** The caller's own abort: the lock is held on, but not renewed. */
  handleEvent(): void {
    if (this.ended !== undefined) return;
    for (const part of this.parts) part.setRenewing(false);
    // Made now if need be, so that a later release does not become its reason.
    signalOf(this);
  }

  dropped(): void {
    const renewed = this.parts.filter((part) => part.ended === undefined && part.renews);
    if (renewed.length === 0) return;
    this.renewing(false);
    this.settings.context.events.warn('HOLDFAST_HANDLE_DROPPED', HANDLE_DROPPED);
  }

  renewing(on: boolean): void {
    for (const part of this.parts) part.setRenewing(on);
  }

  confirmed(): Promise<unknown> {
    return Promise.all(this.parts.map((part) => this.settings.context.releases.confirmed(part.id)));
  }

  end(): MaybePromise<boolean> {
    if (this.ended instanceof Released) return this.ended.pending?.then(() => false) ?? false;
    const now = this.settings.context.time.checkedNow();
    const held = this.isHeld(now);
    if (held) endReleased(this, now);
    const freed = this.ownParts()
      .toReversed()
      .map((part) => part.finish());
    const pending = freed.some((one) => one instanceof Promise)
      ? Promise.all(freed.map(async (one) => one)).then((answers) => held && answers.every(Boolean))
      : undefined;
    if (held && pending !== undefined) this.ended = new Released(pending);
    if (held && this.controller !== undefined) signalOf(this);
    return pending ?? (held && freed.every(Boolean));
  }

  /** Losing one loses all. */
  partLost(error: LockLostError): void {
    if (this.ended !== undefined) return;
    const { key, reason, cause } = error;
    const heldFor = this.settings.context.time.now() - this.grantedAt;
    const renewed = this.parts.every((part) => part.renews);
    endLost(this, new LockLostError({ key, reason, heldFor, cause }), renewed);
    // These two end for all parts alike, and leave the holder what the leases have left.
    if (reason === 'closed' || reason === 'max-hold') {
      for (const part of this.parts) part.lose(reason);
    } else if (reason === 'superseded') {
      // An embedded store answers for all keys before that, whoever asks.
      void Promise.resolve().then(() => this.letGo());
    } else {
      this.letGo();
    }
  }

  /** Gives back what is still held of a lock that is lost. */
  private letGo(): void {
    const own = this.ownParts();
    for (const part of own) if (part.ended === undefined) void part.finish();
    if (own.length === this.parts.length) return;
    this.settings.context.time.after(TAKE_OVER, () => this.letGo(), true);
  }

  /**
   * The keys that may be given back: not those that our owner is about to take over, for a while. They would
   * go to whoever waits for them, or be kept for the rest of our `holdAtLeast`.
   */
  private ownParts(): readonly Part[] {
    const { ended, grantedAt } = this;
    const { context, owner } = this.settings;
    if (!(ended instanceof LockLostError) || ended.reason !== 'superseded') return this.parts;
    if (context.time.now() >= grantedAt + ended.heldFor + TAKE_OVER) return this.parts;
    const wanted = new Set<string>();
    for (let { first: one } = context.queues.pending; one !== undefined; one = one.next) {
      if (one.settings.owner === owner) for (const key of one.keys) wanted.add(key);
    }
    return this.parts.filter(({ key }) => !wanted.has(key));
  }

  private isHeld(now = this.settings.context.time.checkedNow()): boolean {
    return this.ended === undefined && this.parts.every((part) => part.isHeld(now));
  }
}
