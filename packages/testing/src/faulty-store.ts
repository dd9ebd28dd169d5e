import {
  checkOptions,
  isPromiseLike,
  LockArgumentError,
  storedKey,
  type AcquireReply,
  type AcquireRequest,
  type Clock,
  type DecodeKeyRequest,
  type EncodeKeyRequest,
  type InspectRequest,
  type ListPage,
  type ListRequest,
  type LockStore,
  type MaybePromise,
  type ReleaseRequest,
  type RenewReply,
  type RenewRequest,
  type StoreCapabilities,
  type StoredGrant,
  type StoreEvent,
  systemClock,
  userKey,
} from '@holdfast/core';

/** The verbs of a store at which something may go wrong. */
export type FaultyVerb =
  | 'acquire'
  | 'renew'
  | 'release'
  | 'refresh'
  | 'leave'
  | 'inspect'
  | 'list'
  | 'forceRelease';

/**
 * What goes wrong with one request:
 * `fail-before` (refused, without effect), `fail-after` (done, but reported as failed), `drop-reply`
 * (done, but never answered), `drop-request` (neither), `delay` (slow, there and back), `duplicate`
 * (done twice, as when a driver sends it again).
 */
export type Fault =
  | { readonly kind: 'fail-before' | 'fail-after'; readonly error?: Error | undefined }
  | { readonly kind: 'drop-reply' | 'drop-request' | 'duplicate' }
  | { readonly kind: 'delay'; readonly before: number; readonly after: number };

/** Which requests a fault is for. */
export interface FaultTarget {
  /** The requests. @default any */
  verb?: FaultyVerb | undefined;
  /** How many; default 1. `Infinity` until {@link FaultyStore.heal}. */
  times?: number | undefined;
}

/** Options of {@link faultyStore}. */
export interface FaultyStoreOptions {
  /** For delays. @default Node's timers */
  clock?: Clock | undefined;
  /** Decides about each request that no other fault is planned for, as a schedule of your own. @default no fault */
  decide?: ((verb: FaultyVerb) => Fault | undefined) | undefined;
}

/** A store with which things can go wrong, see {@link faultyStore}. */
export interface FaultyStore extends LockStore {
  /** The next requests fail without effect. */
  fail(target?: FaultTarget & { error?: Error | undefined }): void;
  /** The next requests take effect, but fail. */
  failAfter(target?: FaultTarget & { error?: Error | undefined }): void;
  /** The next requests take effect, but are never answered. */
  dropReply(target?: FaultTarget): void;
  /** The next requests never reach the store, and are never answered. */
  dropRequest(target?: FaultTarget): void;
  /** The next requests are answered `ms` late: half of it passes before they take effect. */
  delay(ms: number, target?: FaultTarget): void;
  /** The next requests are executed twice. */
  duplicate(target?: FaultTarget): void;
  /** No more faults. */
  heal(): void;
  /**
   * Gives a lock to a thief, who holds it for `ttl` ms (default 10 000). Its holder is not told; its
   * next renewal finds it `stolen`. Of a lock that several hold, only the newest permit can be stolen, and
   * only if it has an `owner`.
   *
   * @returns false if nobody held it
   */
  steal(key: string, options?: StealOptions): Promise<boolean>;
  /**
   * Lets the store forget a lock, with all who hold it. Its holder is not told; its next renewal finds it
   * `evicted`, or `stolen` if somebody else has acquired it meanwhile.
   *
   * @returns false if nobody held it
   */
  evict(key: string, options?: NamespaceOption): Promise<boolean>;
  /** Lets the store forget every lock and everybody who waits. */
  forgetEverything(): Promise<void>;
}

export interface NamespaceOption {
  /** Of the locker. @default 'holdfast' */
  namespace?: string | undefined;
}

export interface StealOptions extends NamespaceOption {
  /** How long the thief holds the lock, in ms. @default 10 000 */
  ttl?: number | undefined;
}

interface PlannedFault {
  readonly verb: FaultyVerb | undefined;
  readonly fault: Fault;
  left: number;
}

/**
 * Wraps a store so that tests can see how code behaves when its lock is lost or its store is away.
 *
 * @example
 * ```ts
 * const store = faultyStore(memoryStore());
 * const locker = createLocker({ store });
 * await locker.withLock('report', async (lock) => {
 *   await store.steal('report');
 *   await once(lock.signal, 'abort'); // LockLostError, reason 'stolen'
 * });
 * ```
 */
export function faultyStore(store: LockStore, options: FaultyStoreOptions = {}): FaultyStore {
  if (typeof (store as LockStore | null | undefined)?.acquire !== 'function') {
    throw new LockArgumentError('`faultyStore()` takes a store, such as `memoryStore()`.');
  }
  checkOptions<FaultyStoreOptions>(options, { clock: true, decide: true });
  return new Faulty(store, options);
}

class Faulty implements FaultyStore {
  readonly name: string;
  readonly capabilities: StoreCapabilities;
  readonly decodeKey?: (request: DecodeKeyRequest) => string | undefined;
  readonly list?: (request: ListRequest) => MaybePromise<ListPage>;
  private readonly clock: Clock;
  private readonly decide: (verb: FaultyVerb) => Fault | undefined;
  private planned: PlannedFault[] = [];
  /** By stored key: what was granted, to be stolen or forgotten. */
  private readonly grants = new Map<string, AcquireRequest>();
  /** By stored key: the ids of permits that were granted, and not released through this store. */
  private readonly permits = new Map<string, Set<string>>();
  /** By stored key: the clients that may be registered. */
  private readonly waiting = new Map<string, Set<string>>();
  /** Ids of grants that a thief took. */
  private readonly stolen = new Set<string>();
  private thieves = 0;

  constructor(
    private readonly inner: LockStore,
    { clock = systemClock, decide = () => undefined }: FaultyStoreOptions,
  ) {
    this.name = inner.name;
    this.capabilities = inner.capabilities;
    this.clock = clock;
    this.decide = decide;
    if (inner.list === undefined) return;
    const list = inner.list.bind(inner);
    this.list = (request) => this.run('list', () => list(request));
    // This store always has an `encodeKey`: what that encodes must be decoded.
    this.decodeKey = ({ namespace, stored }) => {
      if (inner.encodeKey !== undefined) return inner.decodeKey?.({ namespace, stored });
      return userKey(namespace, stored);
    };
  }

  fail(target: FaultTarget & { error?: Error | undefined } = {}): void {
    this.plan({ kind: 'fail-before', error: target.error }, target);
  }

  failAfter(target: FaultTarget & { error?: Error | undefined } = {}): void {
    this.plan({ kind: 'fail-after', error: target.error }, target);
  }

  dropReply(target: FaultTarget = {}): void {
    this.plan({ kind: 'drop-reply' }, target);
  }

  dropRequest(target: FaultTarget = {}): void {
    this.plan({ kind: 'drop-request' }, target);
  }

  delay(ms: number, target: FaultTarget = {}): void {
    this.plan({ kind: 'delay', before: ms / 2, after: ms / 2 }, target);
  }

  duplicate(target: FaultTarget = {}): void {
    this.plan({ kind: 'duplicate' }, target);
  }

  heal(): void {
    this.planned = [];
  }

  async steal(key: string, { namespace = 'holdfast', ttl = 10_000 }: StealOptions = {}) {
    const stored = this.storedKey(namespace, key);
    const victim = this.grants.get(stored);
    const grant = await this.inner.inspect({ key: stored, client: '' });
    if (victim === undefined || grant === null) return false;
    // Nobody can take over the permit of another without its owner's name.
    if (victim.sharing !== undefined && victim.owner === victim.id) return false;
    const id = `thief-${++this.thieves}-${victim.id}`;
    this.stolen.add(victim.id);
    // Under its owner's name it takes the lock over, past everybody who waits.
    const thief = { ...victim, id, client: id, label: 'thief', ttl, wait: false };
    const reply = await this.inner.acquire({ ...thief, replaces: undefined });
    return reply.granted;
  }

  async evict(key: string, { namespace = 'holdfast' }: NamespaceOption = {}) {
    const stored = this.storedKey(namespace, key);
    const grant = this.grants.get(stored);
    const permits = await this.forgetPermits(stored);
    if (grant === undefined) return permits;
    return (await this.inner.release({ key: stored, id: grant.id })) || permits;
  }

  async forgetEverything(): Promise<void> {
    // Those who wait first: nobody is to be woken.
    for (const [key, clients] of this.waiting) {
      for (const client of clients) await this.inner.leave?.(client, key);
    }
    for (const key of this.permits.keys()) await this.forgetPermits(key);
    for (const [key, { id }] of this.grants) await this.inner.release({ key, id });
    this.waiting.clear();
    this.grants.clear();
  }

  encodeKey(request: EncodeKeyRequest): string {
    return this.inner.encodeKey?.(request) ?? storedKey(request.namespace, request.key);
  }

  leaseFor(ttl: number): number {
    return this.inner.leaseFor?.(ttl) ?? ttl;
  }

  acquire(request: AcquireRequest): MaybePromise<AcquireReply> {
    const { key, client, wait } = request;
    if (wait) this.waiting.set(key, (this.waiting.get(key) ?? new Set()).add(client));
    return this.run(
      'acquire',
      () => this.inner.acquire(request),
      (reply) => {
        if (!reply.granted) return;
        this.grants.set(key, request);
        if (request.sharing === undefined) return;
        this.permits.set(key, (this.permits.get(key) ?? new Set()).add(request.id));
      },
    );
  }

  renew(requests: readonly RenewRequest[]): MaybePromise<readonly RenewReply[]> {
    const told = (replies: readonly RenewReply[]): readonly RenewReply[] =>
      replies.map((reply, index) => {
        const lost = reply !== 'renewed' && !(reply instanceof Error);
        return lost && this.stolen.has(requests[index]?.id ?? '') ? 'stolen' : reply;
      });
    const replies = this.run('renew', () => this.inner.renew(requests));
    return isPromiseLike(replies) ? replies.then(told) : told(replies);
  }

  release(request: ReleaseRequest): MaybePromise<boolean> {
    return this.run(
      'release',
      () => this.inner.release(request),
      () => this.permits.get(request.key)?.delete(request.id),
    );
  }

  refresh(client: string, keys: readonly string[]): MaybePromise<readonly (number | Error)[]> {
    return this.run('refresh', () => this.inner.refresh?.(client, keys) ?? []);
  }

  leave(client: string, key: string): MaybePromise<void> {
    return this.run('leave', () => this.inner.leave?.(client, key));
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => MaybePromise<void> {
    return this.inner.subscribe(client, (event) => {
      // A thief does not leave a note.
      if (event.type !== 'lost' || !this.stolen.has(event.id)) listener(event);
    });
  }

  inspect(request: InspectRequest): MaybePromise<StoredGrant | null> {
    return this.run('inspect', () => this.inner.inspect(request));
  }

  forceRelease(key: string, owner?: string): MaybePromise<boolean> {
    return this.run('forceRelease', () => this.inner.forceRelease(key, owner));
  }

  /** @returns whether there was one */
  private async forgetPermits(key: string): Promise<boolean> {
    const ids = this.permits.get(key) ?? [];
    this.permits.delete(key);
    let found = false;
    for (const id of ids) {
      if (await this.inner.release({ key, id, permit: true })) found = true;
    }
    return found;
  }

  private storedKey(namespace: string, key: string): string {
    return this.encodeKey({ namespace, key, owner: undefined });
  }

  private plan(fault: Fault, { verb, times = 1 }: FaultTarget): void {
    this.planned.push({ verb, fault, left: times });
  }

  private next(verb: FaultyVerb): Fault | undefined {
    const planned = this.planned.find((one) => one.verb === undefined || one.verb === verb);
    if (planned === undefined) return this.decide(verb);
    planned.left -= 1;
    if (planned.left <= 0) this.planned.splice(this.planned.indexOf(planned), 1);
    return planned.fault;
  }

  /** Runs a request with what goes wrong with it; `done` sees what the store really did. */
  private run<T>(
    verb: FaultyVerb,
    request: () => MaybePromise<T>,
    done: (reply: T) => void = () => {},
  ): MaybePromise<T> {
    const fault = this.next(verb);
    const send = (): MaybePromise<T> => {
      const reply = request();
      if (!isPromiseLike(reply)) {
        done(reply);
        return reply;
      }
      return reply.then((value) => {
        done(value);
        return value;
      });
    };
    return fault === undefined ? send() : this.sendWith(fault, verb, send);
  }

  private async sendWith<T>(
    fault: Fault,
    verb: FaultyVerb,
    send: () => MaybePromise<T>,
  ): Promise<T> {
    if (fault.kind === 'fail-before') {
      throw fault.error ?? new Error(`The ${verb} was refused.`);
    }
    if (fault.kind === 'drop-request') return never();
    if (fault.kind === 'delay') await this.sleep(fault.before);
    if (fault.kind === 'duplicate') await send();
    const reply = await send();
    if (fault.kind === 'fail-after') {
      throw fault.error ?? new Error(`The connection was lost during the ${verb}.`);
    }
    if (fault.kind === 'drop-reply') return never();
    if (fault.kind === 'delay') await this.sleep(fault.after);
    return reply;
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.setTimeout(resolve, ms);
    });
  }
}

function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
