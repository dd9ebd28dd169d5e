import type { Context } from '../context.ts';
import { LockConflictError, type LockQueueFullError, type LockStoreError } from '../errors.ts';
import type { Grant, Lease } from '../hold/lease.ts';
import { limitOf, type LockSettings } from '../options.ts';
import type { AcquireReply, MaybePromise } from '../store.ts';
import { ask, type Attempt } from './attempt.ts';

/** A key, and what the store calls it. */
export interface NamedKey {
  readonly key: string;
  readonly stored: string;
  /** Those for this key, where they are not those of the acquisition. */
  readonly settings?: LockSettings | undefined;
}

/** For whom a waiter waits: an acquisition. */
export interface Acquirer {
  readonly context: Context;
  readonly settings: LockSettings;
  /** When it began to wait. */
  readonly since: number;
  /** Who will hold, to the store; absent: the id of each grant. */
  readonly owner: string | undefined;
  /** Whether it was told that a key is busy. */
  readonly waiting: boolean;
  /** The key is busy, and it waits. May be told again. */
  waits(): void;
  /** Makes the lease. */
  granted(waiter: Waiter, grant: Grant, now: number): Lease;
  /** A single attempt found the key busy. */
  busy(): void;
  /** Too many wait already, or others hold it or wait for it with another limit. */
  refused(error: LockQueueFullError | LockConflictError): void;
  failed(error: LockStoreError): void;
}

/** One wish for one key. It ends once: granted, failed, or not wanted any more. */
export class Waiter {
  readonly context: Context;
  readonly settings: LockSettings;
  readonly since: number;
  readonly owner: string | undefined;
  readonly key: string;
  readonly stored: string;
  /** Its neighbours in the key's queue. */
  previous: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  queued = false;
  /** The request that is under way for it while it is not in a queue. */
  attempt: Attempt | undefined = undefined;
  /** Whether an attempt was made whose outcome is not known. */
  unsure = false;
  private ended = false;
  private lease: Lease | undefined = undefined;
  private ownId: string | undefined;

  constructor(
    private readonly acquirer: Acquirer,
    { key, stored, settings }: NamedKey,
    id?: string,
  ) {
    const { context, since, owner } = acquirer;
    this.context = context;
    this.settings = settings ?? acquirer.settings;
    this.since = since;
    this.owner = owner;
    this.key = key;
    this.stored = stored;
    this.ownId = id;
  }

  /** Of the acquisition at the store: a repeated attempt recognises its own earlier grant. */
  get id(): string {
    return (this.ownId ??= this.context.ids.next());
  }

  get waiting(): boolean {
    return this.acquirer.waiting;
  }

  ask(wait: boolean, replaces?: string): MaybePromise<AcquireReply> {
    return ask(this.settings, this.stored, this.id, this.owner, wait, replaces);
  }

  waits(): void {
    this.acquirer.waits();
  }

  grant(grant: Grant, now: number): void {
    this.ended = true;
    this.lease = this.acquirer.granted(this, grant, now);
  }

  /** A single attempt found the key busy. */
  busy(): void {
    this.ended = true;
    this.acquirer.busy();
  }

  /** Too many wait already. */
  refuse(error: LockQueueFullError): void {
    this.ended = true;
    this.acquirer.refused(error);
  }

  /** Others hold it, or wait for it, with another limit. */
  conflict(currentLimit: number): void {
    const { key, settings } = this;
    this.ended = true;
    this.acquirer.refused(new LockConflictError({ key, limit: limitOf(settings), currentLimit }));
  }

  fail(error: LockStoreError): void {
    this.ended = true;
    this.acquirer.failed(error);
  }

  /** It is not wanted any more, whatever is under way for it. */
  withdraw(): void {
    if (this.ended) return;
    this.ended = true;
    this.context.queues.withdraw(this);
  }

  /** Whether a grant to this id would be recognised by a later attempt. */
  wants(id: string): boolean {
    return !this.ended && this.ownId === id;
  }

  /** Undoes its attempt of this id, whatever has become of it or will; but not what it holds. */
  takeBack(id = this.id): void {
    const { key, stored, settings, context, lease } = this;
    if (context.held.find(stored, id) !== undefined) return;
    // Its next attempt has another id, so that this cannot undo it.
    if (this.ownId === id) {
      this.ownId = undefined;
      this.unsure = false;
    }
    const keepUntil = lease?.id === id ? lease.keepUntil : 0;
    const busyUntil = (from: number): number => from + settings.timing.ttl;
    context.releases.takeBack({ key, stored, id, settings, keepUntil, busyUntil });
  }

  /** Whether a permit for one is as good for the other. */
  isLike({ settings, owner }: Waiter): boolean {
    const { sharing, timing, label } = this.settings;
    return (
      (this.settings === settings ||
        (sharing?.limit === settings.sharing?.limit &&
          sharing?.weight === settings.sharing?.weight &&
          sharing?.shared === settings.sharing?.shared &&
          timing === settings.timing &&
          label === settings.label)) &&
      this.owner === undefined &&
      owner === undefined
    );
  }

  /** Whether a holder of this process may pass its grant on to it, by what does not change. */
  canTakeFrom({ settings }: Lease): boolean {
    const { timing, owner, renew } = this.settings;
    return (
      owner === undefined &&
      settings.owner === undefined &&
      settings.asked === undefined &&
      this.settings.sharing === undefined &&
      timing.ttl === settings.timing.ttl &&
      renew &&
      settings.renew
    );
  }
}
