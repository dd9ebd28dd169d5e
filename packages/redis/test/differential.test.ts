import { setTimeout as sleep } from 'node:timers/promises';
import {
  memoryStore,
  systemClock,
  type LockStore,
  type Sharing,
  type StoreEvent,
} from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const server = useRedis();
let connection: Redis;
beforeAll(() => {
  connection = new Redis(server.url);
});
afterAll(() => connection.disconnect());

/** Random numbers that a seed determines: mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const CLIENTS = ['c0', 'c1', 'c2'];
const OWNERS = ['job-0', 'job-1'];
const LONG = 600_000;
const SHORT = 250;
/** Past the end of a short lease, of a reservation, of a registration; in ms. */
const PAUSES = [400, 400, 400, 400, 700, 1_700];

interface Grant {
  readonly id: string;
  readonly owner: string;
  readonly permit: boolean;
}

/** How the key of a run is locked: alone, by readers and writers, or with a limit. */
type Kind = 'alone' | 'readers' | 'limit';

const LIMIT = 4;

const NEVER: Grant = { id: 'never', owner: 'x', permit: false };

type Step = (store: LockStore, subject: Subject) => unknown;

/** One store under a run: replies become what does not depend on clocks. */
class Subject {
  readonly events: string[] = [];
  lastToken = 0;
  /** By id: the last token of each grant. */
  readonly tokens = new Map<string, number>();

  constructor(readonly store: LockStore) {
    for (const client of CLIENTS) {
      store.subscribe(client, (event: StoreEvent) => {
        if (event.type === 'lost') this.events.push(`${client} lost ${event.id} ${event.reason}`);
        if (event.type === 'wake') this.events.push(`${client} wake`);
      });
    }
  }
}

/** A random sequence of verbs about one key; each is made with what was granted so far. */
class Run {
  private readonly grants: Grant[] = [];
  private readonly short = new Set<string>();
  private count = 0;
  /** Ids that were asked for more than once. */
  private readonly repeated = new Set<string>();
  readonly log: string[] = [];

  constructor(
    private readonly random: (below: number) => number,
    private readonly key: string,
    private readonly kind: Kind,
  ) {}

  /**
   * Each client wants the key in one way. A server learns that one has changed its mind, and those behind it
   * that it was refused, a little later: when a reservation has run out, or with a refresh.
   */
  private sharing(client: string): Sharing | undefined {
    if (this.kind === 'limit') {
      return { limit: LIMIT, weight: this.pick([1, 1, 2, LIMIT]), shared: false };
    }
    const reads = this.kind === 'readers' && client !== CLIENTS[0];
    return reads ? { limit: 1, weight: 1, shared: true } : undefined;
  }

  private pick<T>(all: readonly T[]): T {
    return all[this.random(all.length)] as T;
  }

  /** The next step, or a pause in which what is short runs out. */
  next():
    | { name: string; step: Step; compare: (reply: unknown, subject: Subject) => unknown }
    | number {
    const { key } = this;
    const client = this.pick(CLIENTS);
    const grant = this.grants.length > 0 ? this.pick(this.grants) : NEVER;
    switch (this.random(13)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        const isRepeated = this.kind === 'alone' && this.random(6) === 0;
        const id = isRepeated ? grant.id : `id-${this.count++}`;
        if (isRepeated) this.repeated.add(id);
        const owner = this.random(3) === 0 ? this.pick(OWNERS) : id;
        const ttl = this.random(4) === 0 ? SHORT : LONG;
        // One with another limit, or who wants the key alone, is refused.
        const isOdd = this.kind === 'limit' && this.random(12) === 0;
        const wait = !isOdd && this.random(2) === 0;
        const replaces = this.random(6) === 0 ? grant.id : undefined;
        const other = this.pick([undefined, { limit: 2, weight: 1, shared: false }]);
        const sharing = isOdd ? other : this.sharing(client);
        this.grants.push({ id, owner, permit: sharing !== undefined });
        if (ttl === SHORT) this.short.add(id);
        const tokens = sharing === undefined ? 1 + this.random(8) : 1;
        const givesUp = this.random(2) === 0;
        const asked = { key, id, owner, label: client, ttl, tokens, client, wait, givesUp };
        // A permit is not passed on.
        const request = {
          ...asked,
          replaces: this.kind === 'alone' ? replaces : undefined,
          sharing,
        };
        return {
          name: `acquire ${JSON.stringify(request)}`,
          step: (store) => store.acquire(request),
          compare: (reply, subject) => {
            const { granted, replaced, ...rest } = reply as {
              granted: boolean;
              replaced?: boolean;
              token?: number;
              tokens?: number;
              room?: number;
              conflict?: number;
            };
            if (!granted) return { granted, replaced: replaced === true, conflict: rest.conflict };
            // Larger than any before, unless the same grant was asked for again.
            const { token = 0, tokens: given = 0, room = 0 } = rest;
            const grows = token > subject.lastToken;
            const last = token + given - 1;
            subject.lastToken = Math.max(subject.lastToken, last);
            subject.tokens.set(id, last);
            return { granted, replaced: replaced === true, grows, room };
          },
        };
      }
      case 5:
      case 6: {
        const { id, owner, permit } = grant;
        const request = { key, id, owner, permit, ttl: this.pick([0, LONG]) };
        return {
          name: `renew ${JSON.stringify(request)}`,
          step: (store) => store.renew([request]),
          // The memory store may remember for longer than the lease why a grant has ended. A server may
          // remember how an earlier grant of the same acquisition has ended; no locker asks for one anew
          // that it knows to have ended.
          compare: (reply) => {
            const mayDiffer = this.short.has(grant.id) || this.repeated.has(grant.id);
            return mayDiffer && !(reply as unknown[]).includes('renewed') ? 'gone' : reply;
          },
        };
      }
      case 7:
      case 8: {
        // An owner that comes back to a permit that is kept has two, and an operator ends one at a time.
        const maybeKept = this.kind === 'alone' || grant.owner === grant.id;
        const isKept = maybeKept && !this.short.has(grant.id) && this.random(4) === 0;
        const keepFor = isKept ? this.pick([SHORT, LONG]) : undefined;
        const request = { key, id: grant.id, keepFor, permit: grant.permit };
        if (keepFor === SHORT) this.short.add(grant.id);
        const knows = this.kind === 'alone' && this.random(3) > 0;
        return {
          name: `release ${JSON.stringify(request)}${knows ? ' with its last token' : ''}`,
          step: (store, { tokens }) =>
            store.release({ ...request, lastToken: knows ? tokens.get(grant.id) : undefined }),
          // Whether what has run out was still there does not matter to anybody.
          compare: (reply) => (this.short.has(grant.id) ? 'gone' : reply),
        };
      }
      case 9:
        return {
          name: `refresh ${client}`,
          step: (store) => store.refresh?.(client, [key]),
          // When the next of several ends, the memory store may take to be earlier.
          compare: (reply) =>
            (reply as number[]).map((hint) => hint > (this.kind === 'alone' ? 300 : 0)),
        };
      case 10:
        return {
          name: `leave ${client}`,
          step: (store) => store.leave?.(client, key),
          compare: () => undefined,
        };
      case 11: {
        const owner = this.random(2) === 0 ? this.pick([grant.owner, ...OWNERS]) : undefined;
        return {
          name: `forceRelease ${owner ?? ''}`,
          step: (store) => store.forceRelease(key, owner),
          compare: (reply) => reply,
        };
      }
      default:
        return this.pick(PAUSES);
    }
  }
}

async function stateOf({ store }: Subject, key: string): Promise<unknown> {
  const grant = await store.inspect({ key, client: 'nobody' });
  if (grant === null) return null;
  const { owner, label, waiters, holders } = grant;
  return { owner, label, waiters, holders: holders?.map((one) => [one.owner, one.label]) };
}

/** The server's time, in ms. */
async function serverTime(): Promise<number> {
  const [seconds, micros] = await connection.time();
  return Number(seconds) * 1_000 + Number(micros) / 1_000;
}

function agree(actual: unknown, expected: unknown, context: () => string): void {
  expect({ context: context(), is: actual }).toEqual({ context: context(), is: expected });
}

async function compareRun(kind: Kind, seed: number, steps: number, attempt: number): Promise<void> {
  const key = `differential:${kind}:${seed}:${attempt}`;
  let now = await serverTime();
  const redis = new Subject(redisStore(connection));
  const memory = new Subject(memoryStore({ clock: { ...systemClock, now: () => now } }));
  const run = new Run(randomFrom(seed), key, kind);
  for (let index = 0; index < steps; index++) {
    const next = run.next();
    if (typeof next === 'number') {
      run.log.push(`pause ${next}`);
      await sleep(next);
      continue;
    }
    // On a server a forced release also ends a reservation, which may have lost its expiry there; and
    // the time for which a lock is kept busy is said once.
    const value = (await connection.get(`{${key}}`)) ?? '';
    if (next.name.startsWith('forceRelease') && value.includes(' reserved ')) continue;
    if (next.name.includes('keepFor') && value.includes(' kept ')) continue;
    run.log.push(next.name);
    const context = (): string => `seed ${seed}, step ${index}:\n${run.log.slice(-40).join('\n')}`;
    // What the server does now, the memory store does at the same time.
    const [time, reply] = await Promise.all([serverTime(), next.step(redis.store, redis)]);
    now = time;
    const expected = next.compare(await next.step(memory.store, memory), memory);
    agree(next.compare(reply, redis), expected, context);
    const [later, state] = await Promise.all([serverTime(), stateOf(redis, key)]);
    now = later;
    agree(state, await stateOf(memory, key), context);
  }
}

/** Something may run out just between the two stores, but hardly each time. */
async function compareRuns(kind: Kind, seed: number, steps: number): Promise<void> {
  for (let attempt = 1; attempt <= 5; attempt++) {
    try {
      await compareRun(kind, seed, steps, attempt);
      return;
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** `DIFFERENTIAL_SEEDS=200` for more than the tests run each time. */
const seeds = Number(process.env['DIFFERENTIAL_SEEDS'] ?? 24);

describe.concurrent('the scripts on a server answer as the memory store does', () => {
  const all = Array.from({ length: seeds }, (_, index) => index + 1);
  test.each(all)('about a key that one holds: seed %i', async (seed) => {
    await compareRuns('alone', seed, 60);
  });
  test.each(all)('about a key with a limit: seed %i', async (seed) => {
    await compareRuns('limit', seed, 60);
  });
  test.each(all)('about a key of readers and writers: seed %i', async (seed) => {
    await compareRuns('readers', seed, 60);
  });
});
