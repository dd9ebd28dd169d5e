import { MAX_HOLDERS_SHOWN, type Sharing, type StoredHolder } from '../store.ts';
import type { Client, Entry } from './memory-grants.ts';

/** So many readers more fit beside one. */
const ANY_NUMBER = 1_000;

/** A grant beside others. */
export interface Permit {
  readonly id: string;
  readonly owner: string;
  readonly client: Client;
  readonly token: number;
  readonly grantedAt: number;
  readonly weight: number;
  expiresAt: number;
  /** Released, but its room is taken until it expires. */
  kept: boolean;
}

/** Room for a client that was woken. */
interface Reservation {
  readonly weight: number;
  readonly expiresAt: number;
}

/**
 * A key that several may hold: with a limit above 1, or by readers. It stands in the place of a single
 * grant from the first permit to the last, and so has an entry's fields, with which nobody's id and nobody's
 * owner is the same.
 */
export class SharedKey implements Entry {
  readonly id = '';
  readonly owner = '';
  readonly permits = new Map<string, Permit>();
  /** By client. */
  readonly reserved = new Map<string, Reservation>();
  /** When the last of all this has run out; never too early. */
  expiresAt = 0;
  /** When the next of all this runs out; never too late. */
  nextEnd = Infinity;
  /** Those with an owner that is not their id. */
  private readonly owned = new Map<string, Permit>();
  /** The weight of all permits and reservations. */
  private used = 0;

  constructor(
    readonly limit: number,
    readonly client: Client,
    readonly token: number,
    readonly grantedAt: number,
  ) {}

  get isEmpty(): boolean {
    return this.permits.size === 0 && this.reserved.size === 0;
  }

  /** How much weight fits beside what there is. */
  get room(): number {
    return this.limit === 1 ? ANY_NUMBER : this.limit - this.used;
  }

  /** Whether a permit fits beside what there is, less `spare`. Who wants the key alone has no `sharing`. */
  fits(sharing: Sharing | undefined, spare = 0): boolean {
    if (sharing?.limit !== this.limit) return false;
    return sharing.shared || this.used - spare + sharing.weight <= this.limit;
  }

  add(permit: Permit): void {
    this.permits.set(permit.id, permit);
    if (permit.owner !== permit.id) this.owned.set(permit.owner, permit);
    this.used += permit.weight;
    this.endsAt(permit.expiresAt);
  }

  remove(permit: Permit): void {
    if (!this.permits.delete(permit.id)) return;
    if (this.owned.get(permit.owner) === permit) this.owned.delete(permit.owner);
    this.used -= permit.weight;
  }

  reserve(client: string, weight: number, expiresAt: number): void {
    this.reserved.set(client, { weight, expiresAt });
    this.used += weight;
    this.endsAt(expiresAt);
  }

  /** @returns whether there was a reservation */
  unreserve(client: string): boolean {
    const reservation = this.reserved.get(client);
    if (reservation === undefined) return false;
    this.reserved.delete(client);
    this.used -= reservation.weight;
    return true;
  }

  /** What an owner holds and may take over. */
  of(owner: string): Permit | undefined {
    const permit = this.owned.get(owner);
    return permit?.kept === true ? undefined : permit;
  }

  /** Whether nobody else holds it, and it is reserved for nobody. */
  isAll(permit: Permit): boolean {
    return this.permits.size === 1 && this.reserved.size === 0 && this.permits.has(permit.id);
  }

  /** Something in it ends then. */
  endsAt(at: number): void {
    this.expiresAt = Math.max(this.expiresAt, at);
    this.nextEnd = Math.min(this.nextEnd, at);
  }

  /**
   * Drops what has run out.
   *
   * @returns whether anything had
   */
  endExpired(now: number): boolean {
    if (now < this.nextEnd) return false;
    const before = this.permits.size + this.reserved.size;
    this.nextEnd = Infinity;
    for (const permit of this.permits.values()) {
      if (permit.expiresAt <= now) this.remove(permit);
      else this.nextEnd = Math.min(this.nextEnd, permit.expiresAt);
    }
    for (const [client, { expiresAt }] of this.reserved) {
      if (expiresAt <= now) this.unreserve(client);
      else this.nextEnd = Math.min(this.nextEnd, expiresAt);
    }
    return this.permits.size + this.reserved.size < before;
  }

  /** The first of those who hold it, the oldest first. */
  shown(now: number, wallAhead: number): StoredHolder[] {
    const shown: StoredHolder[] = [];
    for (const { owner, client, token, grantedAt, expiresAt } of this.permits.values()) {
      if (shown.length === MAX_HOLDERS_SHOWN) break;
      if (expiresAt <= now) continue;
      shown.push({
        owner,
        label: client.label,
        fencingToken: token,
        since: Math.round(grantedAt + wallAhead),
        remaining: expiresAt - now,
      });
    }
    return shown;
  }
}
