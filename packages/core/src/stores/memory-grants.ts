import type { AcquireReply, AcquireRequest, StoreEvent, StoreLoss } from '../store.ts';
import { SlotMap } from '../util/slot-map.ts';

/** Who asks: one record per locker. */
export interface Client {
  readonly id: string;
  readonly label: string;
}

/** A grant. There may be very many, so fields are few, and times are whole ms. */
export interface Entry {
  readonly id: string;
  readonly owner: string;
  readonly client: Client;
  readonly token: number;
  readonly grantedAt: number;
  expiresAt: number;
}

/** In the place of a grant that was released, but whose key is busy until it expires. */
export class KeptEntry implements Entry {
  readonly id: string;
  readonly owner: string;
  readonly client: Client;
  readonly token: number;
  readonly grantedAt: number;

  constructor(
    { id, owner, client, token, grantedAt }: Entry,
    public expiresAt: number,
  ) {
    this.id = id;
    this.owner = owner;
    this.client = client;
    this.token = token;
    this.grantedAt = grantedAt;
  }
}

/** What is remembered of a grant that was ended early, for its holder's next renewal. */
interface Ended {
  readonly reason: StoreLoss;
  readonly until: number;
}

export type Listener = (event: StoreEvent) => void;

/** What is granted, by key, how it has ended, and what clients are to be told of it. */
export class MemoryGrants {
  readonly entries = new SlotMap<Entry>();
  readonly listeners = new Map<string, Listener>();
  /** Of all keys together, so that no key needs a counter of its own. */
  lastToken = 0;
  /** By the id of the grant. */
  readonly ended = new Map<string, Ended>();
  /** What clients are to be told, see {@link flush}. */
  readonly outbox: { readonly client: string; readonly event: StoreEvent }[] = [];
  private lastClient: Client = { id: '', label: '' };

  /** The grant of a key, if it has not run out. */
  live(key: string, now: number): Entry | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined || now < entry.expiresAt) return entry;
    this.entries.delete(key);
    return undefined;
  }

  /** Grants a key that is free, or whose grant was ended. */
  grant(request: AcquireRequest, now: number): AcquireReply {
    const { key, id, owner, ttl, tokens } = request;
    // How an earlier grant of the same acquisition has ended is of no interest any more.
    if (this.ended.size > 0) this.ended.delete(id);
    const token = this.lastToken + 1;
    this.lastToken += tokens;
    const client = this.clientOf(request);
    const grantedAt = Math.floor(now);
    const expiresAt = Math.ceil(now) + ttl;
    this.entries.set(key, { id, owner, client, token, grantedAt, expiresAt });
    return { granted: true, token, tokens };
  }

  /** Ends a grant before its time. What is to become of its key is the caller's business. */
  endEarly(key: string, { id, client, expiresAt }: EndedEarly, reason: StoreLoss): void {
    this.ended.set(id, { reason, until: expiresAt });
    this.tell(client.id, { type: 'lost', key, id, reason });
  }

  /** Lockers come again and again, so their records are shared. */
  clientOf({ client: id, label }: AcquireRequest): Client {
    if (this.lastClient.id !== id || this.lastClient.label !== label) {
      this.lastClient = { id, label };
    }
    return this.lastClient;
  }

  tell(client: string, event: StoreEvent): void {
    this.outbox.push({ client, event });
  }

  /** Listeners call back into the store, so they are told when it is done with its own state. */
  flush(): void {
    for (let message = this.outbox.shift(); message !== undefined; message = this.outbox.shift()) {
      this.listeners.get(message.client)?.(message.event);
    }
  }

  /** Drops what has run out. */
  sweep(now: number): void {
    for (const [key, { expiresAt }] of this.entries.entries()) {
      if (expiresAt <= now) this.entries.delete(key);
    }
    for (const [id, { until }] of this.ended) if (until <= now) this.ended.delete(id);
  }
}

/** What is known of every grant, also of one beside others. */
type EndedEarly = Pick<Entry, 'id' | 'client' | 'expiresAt'>;
