import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as realSleep } from 'node:timers/promises';
import {
  RESERVATION,
  storedKey,
  type AcquireReply,
  type AcquireRequest,
  type ListPage,
  type ListRequest,
  type LockStore,
  type MaybePromise,
  type RenewReply,
  type StoreEvent,
} from '@holdfast/core';
import type { VirtualClock } from '../virtual-clock.ts';

/** One thing that a store must do. */
export interface ConformanceCase {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** What a case works with. */
export type CaseBody = (bench: Bench) => Promise<void>;

type GrantedReply = Extract<AcquireReply, { granted: true }>;
type Busy = Extract<AcquireReply, { granted: false }>;

/** One locker's dealings with the store under test, as a case sees them. */
export interface TestClient {
  readonly id: string;
  acquire(key: string, more?: Partial<AcquireRequest>): Promise<AcquireReply>;
  /** @throws if it is not granted */
  take(
    key: string,
    more?: Partial<AcquireRequest>,
  ): Promise<GrantedReply & { readonly id: string }>;
  /** @throws if it is granted */
  refused(key: string, more?: Partial<AcquireRequest>): Promise<Busy>;
  /** What it was told to have lost, in order. */
  losses(): StoreEvent[];
  /** How often it was woken for a key. */
  woken(key: string): number;
}

/** A step that takes so much longer than it should, in ms, may have outlived what the next relies on. */
const HELD_UP = RESERVATION / 5;

/** A store under test and the things that every case needs. */
export class Bench {
  readonly store: LockStore;
  /** Whether the machine or the server was too busy for a case to say anything by its failure. */
  heldUp = false;
  private count = 0;
  private readonly endings: (() => unknown)[] = [];

  constructor(
    store: LockStore,
    private readonly clock: VirtualClock | undefined,
  ) {
    this.store = clock === undefined ? this.watched(store) : store;
  }

  /** A ttl that every store takes, in ms. */
  get ttl(): number {
    return Math.max(1_000, this.store.capabilities.minTtl);
  }

  /** A key that no other case uses. */
  key(name = 'key'): string {
    const key = `${name}:${randomUUID()}`;
    return this.stored(key);
  }

  stored(key: string): string {
    const request = { namespace: 'conformance', key, owner: undefined };
    return this.store.encodeKey?.(request) ?? storedKey('conformance', key);
  }

  id(): string {
    return `${randomUUID()}-${++this.count}`;
  }

  client(): TestClient {
    const { store } = this;
    const id = this.id();
    const events: StoreEvent[] = [];
    this.endings.push(store.subscribe(id, (event) => events.push(event)));
    const request = (key: string, more: Partial<AcquireRequest>): AcquireRequest => {
      const acquisition = more.id ?? this.id();
      const { ttl } = this;
      const common = { key, id: acquisition, owner: acquisition, label: 'conformance', ttl };
      return { ...common, tokens: 1, client: id, wait: false, ...more };
    };
    return {
      id,
      acquire: async (key, more = {}) => store.acquire(request(key, more)),
      take: async (key, more = {}) => {
        const asked = request(key, more);
        const reply = await store.acquire(asked);
        assert.ok(reply.granted, 'the key should have been granted');
        return { ...reply, id: asked.id };
      },
      refused: async (key, more = {}) => {
        const reply = await store.acquire(request(key, more));
        assert.ok(!reply.granted, 'the key should have been busy');
        return reply;
      },
      losses: () => events.filter(({ type }) => type === 'lost'),
      woken: (key) => events.filter((event) => event.type === 'wake' && event.key === key).length,
    };
  }

  async renew(key: string, id: string, ttl = this.ttl, owner = id): Promise<RenewReply> {
    const [reply] = await this.store.renew([{ key, id, owner, ttl }]);
    assert.ok(reply !== undefined, 'every renewal has an answer');
    return reply;
  }

  async release(key: string, id: string, keepFor?: number): Promise<boolean> {
    return this.store.release({ key, id, keepFor });
  }

  async list(request: Omit<ListRequest, 'client'>): Promise<ListPage> {
    assert.ok(this.store.list !== undefined);
    return this.store.list({ ...request, client: '' });
  }

  async held(key: string): Promise<boolean> {
    return (await this.store.inspect({ key, client: '' })) !== null;
  }

  async sleep(ms: number): Promise<void> {
    await (this.clock === undefined ? this.watch(realSleep(ms), ms) : this.clock.advance(ms));
  }

  /** Until a grant of `ttl` ms has surely run out. */
  async outlive(ttl = this.ttl): Promise<void> {
    await this.sleep(ttl + this.store.capabilities.granularity * 2 + 20);
  }

  /** Waits, but not long, for something that the store tells by message. */
  async until(what: string, condition: () => MaybePromise<boolean>): Promise<void> {
    let waited = 0;
    for (; !(await condition()); waited += 10) {
      assert.ok(waited < 5_000, `not within 5 s: ${what}`);
      this.heldUp ||= waited > HELD_UP;
      await this.sleep(10);
    }
  }

  async end(): Promise<void> {
    for (const ending of this.endings) await ending();
  }

  /** The store, with an eye on how long it takes. */
  private watched(store: LockStore): LockStore {
    return new Proxy(store, {
      get: (_, name) => {
        const member: unknown = Reflect.get(store, name, store);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => this.watch(member.apply(store, args), 0);
      },
    });
  }

  private watch<T>(step: T, expected: number): T {
    const since = performance.now();
    const look = (): void => {
      this.heldUp ||= performance.now() - since > expected + HELD_UP;
    };
    if (step instanceof Promise) step.then(look, look);
    return step;
  }
}
