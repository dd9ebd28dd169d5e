import { LockLostError, type LossReason } from '../errors.ts';
import type { Lock } from '../types.ts';
import type { HandleInternals } from './handle.ts';
import type { LockSettings } from '../options.ts';
import type { Renewal } from './renewal.ts';
import type { LeaseTiming } from './lease-timing.ts';

/** What the store granted, or what a holder passed on. */
export interface Grant {
  /** Of the acquisition that the store granted; it stays the same while the grant is passed on. */
  readonly id: string;
  /** When the last confirmed request was sent. */
  readonly sentAt: number;
  readonly token: number;
  readonly tenure: Tenure;
  /** What is under way or owed for it. */
  readonly renewal?: Renewal | undefined;
}

/** How far a grant has been passed on within the process. */
export interface Tenure {
  /** When the store granted it, to a holder who has passed it on; absent for the first holder. */
  readonly from: number | undefined;
  /** How many more times it may be passed on. */
  readonly spare: number;
  /** What the store knows as its owner, where that is not the id: of one of several keys. */
  readonly owner?: string | undefined;
}

/**
 * The owner of a lock that was not given one: its acquisition's id, which the store has too. A grant
 * that was passed on keeps the id of its first holder, so what is left of it sets its holders apart.
 */
export function ownerOf({ id, tenure }: Pick<Grant, 'id' | 'tenure'>): string {
  return tenure.from === undefined ? id : `${id}/${tenure.spare}`;
}

/** Marks a lease that its holder released; `pending` until the store has confirmed it. */
export class Released {
  static readonly done = new Released(undefined);

  constructor(readonly pending: Promise<boolean> | undefined) {}
}

/**
 * One holder's time with one grant: held, then released or lost, and nothing but the methods here
 * changes that. Many are held at once, so fields are few, and times are whole ms (rounded down, which
 * ends a lease early rather than late): V8 keeps small integers in the field itself.
 */
export abstract class Lease {
  settings: LockSettings;
  /** The store's name for the key. */
  readonly stored: string;
  readonly id: string;
  readonly grantedAt: number;
  readonly token: number;
  readonly tenure: Tenure;
  /** The lease is counted from here: before the last confirmed request was sent. */
  anchor: number;
  ended: LockLostError | Released | undefined = undefined;
  /** What is under way or owed for it; most of the time there is nothing. */
  renewal: Renewal | undefined;

  constructor(settings: LockSettings, stored: string, grant: Grant, now: number) {
    this.settings = settings;
    this.stored = stored;
    this.id = grant.id;
    this.grantedAt = Math.floor(now);
    this.token = grant.token;
    this.tenure = grant.tenure;
    this.anchor = Math.floor(grant.sentAt);
    this.renewal = grant.renewal;
  }

  /** The user's name for the key. */
  abstract get key(): string;

  /** Told once, when the lease is lost: everything that the holder must learn. */
  protected abstract lost(error: LockLostError): void;

  /** When its holder has held it for its maximum time. */
  get maxHoldAt(): number {
    return this.grantedAt + this.settings.maxHold;
  }

  /** Until when the store keeps the key busy even if it is released before. */
  get keepUntil(): number {
    return this.grantedAt + this.settings.holdAtLeast;
  }

  /** The last of the tokens that came with its grant, if any did. */
  get lastToken(): number | undefined {
    return this.token === 0 ? undefined : this.token + this.tenure.spare;
  }

  /** Whether it is prolonged, and not just watched. */
  get renews(): boolean {
    return this.settings.renew;
  }

  /** The handle that users have, if there is one yet. */
  abstract get handle(): (Lock & HandleInternals) | undefined;

  /** When the store may give the key to somebody else, by this process's clocks. */
  get endsAt(): number {
    return this.anchor + this.settings.timing.lease;
  }

  /** Who holds it, to the store. */
  get storedOwner(): string {
    return this.settings.storeOwner ?? this.tenure.owner ?? this.id;
  }

  /** The longest that the store may keep it from now, in ms, whatever became of a request. */
  get longest(): number {
    const { timing, asked = 0 } = this.settings;
    return Math.max(timing.ttl, asked);
  }

  /** Until when the store may keep the key busy, if it was last asked for it at `from`. */
  busyUntil(from: number): number {
    return Math.max(this.endsAt, from + this.longest, this.keepUntil);
  }

  /** The end of the lease less the safety margin: from here on it is lost. */
  get signalPoint(): number {
    return this.anchor + this.settings.timing.usable;
  }

  /**
   * Whether it is held, by the clock and not by a timer, which would be late after the event loop
   * was blocked.
   */
  isHeld(now = this.settings.context.time.checkedNow()): boolean {
    if (this.ended !== undefined) return false;
    const { timing, maxHold } = this.settings;
    const expired = now >= this.anchor + timing.usable;
    if (!expired && now < this.grantedAt + maxHold) return true;
    this.lose(expired ? 'expired' : 'max-hold');
    return false;
  }

  /**
   * The store confirmed a request that was sent at `sentAt`. It never shortens the lease, and never
   * revives one that has ended meanwhile.
   *
   * @returns whether it is held
   */
  confirm(sentAt: number, timing: LeaseTiming, now: number): boolean {
    if (!this.isHeld(now)) return false;
    const anchor = Math.floor(Math.max(sentAt, this.endsAt - timing.lease));
    const { settings } = this;
    const asked = (settings.asked ?? 0) > timing.ttl ? settings.asked : undefined;
    if (timing !== settings.timing || asked !== settings.asked)
      this.settings = { ...settings, timing, asked };
    this.anchor = anchor;
    return true;
  }

  /** Ends the renewal, or begins it again unless the caller's own abort ended it. */
  setRenewing(on: boolean): void {
    const { settings } = this;
    if (this.ended !== undefined || settings.renew === on) return;
    if (on && settings.signal?.aborted === true) return;
    this.settings = { ...settings, renew: on };
    settings.context.renewer.schedule(this);
  }

  /** The store is asked for a lease of `ttl` ms; whether it heard may never be known. */
  asks(ttl: number): void {
    if (ttl > this.longest) this.settings = { ...this.settings, asked: ttl };
  }

  lose(reason: LossReason): void {
    if (this.ended !== undefined) return;
    const { time, held } = this.settings.context;
    const heldFor = time.now() - this.grantedAt;
    const error = new LockLostError({ key: this.key, reason, heldFor });
    this.ended = error;
    this.lost(error);
    held.remove(this);
  }
}

/** Whether a grant is fresh enough to be handed out: half of the time to its signal point is left. */
export function isFresh(sentAt: number, timing: LeaseTiming, now: number): boolean {
  return now - sentAt <= timing.usable / 2;
}
