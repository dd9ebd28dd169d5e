import { setTimeout as sleep } from 'node:timers/promises';
import { useRedis } from '@holdfast/test-servers';
import { seededRandom } from '@holdfast/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NODE_ACQUISITIONS } from '../../packages/redis/src/scripts/acquire-on-node.ts';
import { ACQUISITIONS, AcquireTerms } from '../../packages/redis/src/scripts/acquire.ts';
import { CONFIRMATIONS } from '../../packages/redis/src/scripts/confirm.ts';
import { FORCED_RELEASES } from '../../packages/redis/src/scripts/force-release.ts';
import { INSPECTIONS, OVERVIEWS } from '../../packages/redis/src/scripts/inspect.ts';
import { LEAVES } from '../../packages/redis/src/scripts/leave.ts';
import { LOSSES } from '../../packages/redis/src/scripts/loss.ts';
import { ALONE_ACQUISITIONS } from '../../packages/redis/src/scripts/permits/acquire-alone.ts';
import { PERMIT_ACQUISITIONS } from '../../packages/redis/src/scripts/permits/acquire.ts';
import { PERMIT_ENDINGS, PERMIT_RELEASES } from '../../packages/redis/src/scripts/permits/end.ts';
import { PERMIT_INSPECTIONS } from '../../packages/redis/src/scripts/permits/inspect.ts';
import { PERMIT_LEAVES, PERMIT_REFRESHES } from '../../packages/redis/src/scripts/permits/queue.ts';
import { PERMIT_RENEWALS } from '../../packages/redis/src/scripts/permits/renew.ts';
import { REFRESHES } from '../../packages/redis/src/scripts/refresh.ts';
import { RELEASES } from '../../packages/redis/src/scripts/release.ts';
import { renewals } from '../../packages/redis/src/scripts/renew.ts';
import { RESERVATIONS } from '../../packages/redis/src/scripts/reserved.ts';
import type { ManyCall } from '../../packages/redis/src/scripts/script.ts';
import { SortedSet } from '../src/stack/dataset.ts';
import { LuaRuntime, ReplyError, Status, type Reply } from '../src/stack/lua.ts';
import type { Link } from '../src/stack/network.ts';
import { RedisServer } from '../src/stack/server.ts';
import { SERVER_ORIGIN } from '../src/stack/stack-server.ts';
import { World } from '../src/world.ts';

/** `DIFFERENTIAL_SEEDS=200` for more than the tests run each time. */
const SEEDS = Number(process.env['DIFFERENTIAL_SEEDS'] ?? 20);
const STEPS = 120;
const COMMANDS = 400;

const redis = useRedis();
let real: Redis;
let lua: LuaRuntime;
beforeAll(async () => {
  real = new Redis(redis.url);
  lua = await LuaRuntime.start();
});
afterAll(() => real.disconnect());

/** A model whose clock the test sets. */
class Model {
  readonly server = new RedisServer('model', 0, new World(1), 1, {
    lua,
    rewrite: (source) => source,
    onScript: () => {},
  });
  private readonly link = {
    offset: 0,
    takeAsking: () => false,
    host: { name: '' },
  } as never as Link;

  /** @param micros since 1970 */
  setClock(micros: number): void {
    this.server.ahead = (micros + 0.5) / 1_000 - SERVER_ORIGIN;
  }

  eval(source: string, keys: readonly string[], argv: readonly string[]): unknown {
    const words = ['EVAL', source, String(keys.length), ...keys, ...argv];
    return shown(this.server.run(this.link, words) as Reply);
  }

  /** What the keys hold, and until when. */
  dump(keys: readonly string[]): unknown[] {
    return keys.map((key) => {
      const value = this.server.data.get(key);
      if (value === undefined) return null;
      const ends = this.server.data.expiryOf(key) ?? -1;
      if (typeof value === 'string') return [value, ends];
      if (value instanceof Map) return [Object.fromEntries(value), ends];
      if (!(value instanceof SortedSet)) throw new Error(`${key} is no value of Redis.`);
      return [value.sorted().flatMap((member) => [member, String(value.get(member))]), ends];
    });
  }

  /** From here on keys run out when they do on the server. */
  adopt(keys: readonly string[], dump: readonly unknown[]): void {
    for (const [index, entry] of (dump as Dump).entries()) {
      const key = keys[index] as string;
      if (entry === null) this.server.data.delete(key);
      else if (entry[1] !== -1) this.server.data.expireAt(key, entry[1]);
    }
  }

  /** Runs something, and undoes it unless that is what is wanted. */
  attempt(run: () => boolean): boolean {
    const { data } = this.server;
    const before = data.snapshot();
    if (run()) return true;
    data.clear();
    for (const change of before) data.apply(change);
    return false;
  }
}

/** A reply as the real client shows it; of an error the code. */
function shown(reply: Reply): unknown {
  if (reply instanceof Status) return reply.text;
  if (reply instanceof ReplyError) return codeOf(reply.message);
  return Array.isArray(reply) ? reply.map(shown) : reply;
}

function codeOf(message: string): string {
  return `error: ${/^ERR (\w+)|^\w+/.exec(message)?.[0] ?? message}`;
}

async function orError(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    return codeOf((error as Error).message);
  }
}

const dumpScript = `
local dump = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local value = false
  if kind == 'string' then value = redis.call('GET', key) end
  if kind == 'hash' then value = redis.call('HGETALL', key) end
  if kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  dump[i] = value and { kind, value, redis.call('PEXPIRETIME', key) } or false
end
return dump
`;

async function dumpReal(keys: readonly string[]): Promise<unknown[]> {
  const dump = (await real.eval(dumpScript, keys.length, ...keys)) as (
    | [string, string | string[], number]
    | null
  )[];
  return dump.map((entry) => {
    if (entry === null) return null;
    const [kind, value, ends] = entry;
    if (kind !== 'hash') return [value, ends];
    const pairs = value as string[];
    const fields = pairs.flatMap((field, at) => (at % 2 === 0 ? [[field, pairs[at + 1]]] : []));
    return [Object.fromEntries(fields) as object, ends];
  });
}

const CLIENTS = ['store-a/c0', 'store-a/c1', 'store-b/c2'];
const OWNERS = ['job-0', 'job-1'];
const TTLS = [40, 300, 60_000];
const DAY = 86_400_000;

/** Draws calls of all scripts, about two locks. */
class Calls {
  private count = 0;
  private readonly ids: string[] = ['never'];
  private readonly tokens = new Map<string, number>();

  constructor(
    private readonly random: () => number,
    private readonly keys: readonly string[],
  ) {}

  pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.random() * all.length)] as T;
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  private write<Q, R>(call: ManyCall<Q, R>, ...requests: Q[]) {
    const words: string[] = [];
    for (const request of requests) call.writeKeys(request, words);
    const keys = words.splice(0);
    call.writeArgs(requests, words);
    return { source: call.script.source, keys, argv: words };
  }

  private acquisition(key: string) {
    const [client, label] = [this.pick(CLIENTS), this.pick(['host:1', 'ein Name', '"'])];
    const isNew = this.chance(0.8);
    const id = isNew ? `_id-${this.count++}` : this.pick(this.ids);
    if (isNew) this.ids.push(id);
    const owner = this.chance(0.3) ? this.pick(OWNERS) : id;
    const replaces = this.chance(0.1) ? this.pick(this.ids) : undefined;
    const [ttl, tokens, wait] = [this.pick(TTLS), this.pick([1, 8, 129]), this.chance(0.6)];
    const givesUp = this.chance(0.5);
    const request = { key, id, owner, label, ttl, tokens, client, wait, replaces, givesUp };
    return { key, request, terms: new AcquireTerms(request, client, DAY) };
  }

  next() {
    const [key, other] = [this.pick(this.keys), this.pick(this.keys)];
    const [id, member] = [this.pick(this.ids), this.pick(CLIENTS)];
    const ttl = this.pick([0, ...TTLS]);
    const keepFor = this.chance(0.2) ? this.pick([30, 400]) : undefined;
    const owner = this.chance(0.5) ? this.pick(OWNERS) : undefined;
    const sharing = this.pick([
      { limit: 3, weight: this.pick([1, 2]), shared: false },
      { limit: 1, weight: 1, shared: true },
    ]);
    switch (Math.floor(this.random() * 22)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.write(ACQUISITIONS, this.acquisition(key));
      case 4:
        return this.write(ACQUISITIONS, this.acquisition(key), this.acquisition(other));
      case 5:
      case 6:
        return this.write(RELEASES, { key, id, keepFor, lastToken: this.lastToken(id) });
      case 7:
        return this.write(RELEASES, { key, id }, { key: other, id: this.pick(this.ids), keepFor });
      case 8:
      case 9:
        return this.write(
          renewals(this.pick([0, DAY])),
          { key, id, owner: id, ttl },
          { key: other, id: this.pick(this.ids), owner: id, ttl: this.pick(TTLS) },
        );
      case 10:
      case 11:
        return this.write(
          REFRESHES,
          { member, key, label: 'host:1' },
          { member, key: other, label: '-' },
        );
      case 12:
        return this.write(LEAVES, { member, key });
      case 13:
        return this.write(RESERVATIONS, { member, key }, { member, key: other });
      case 14:
        return this.write(this.pick([INSPECTIONS, OVERVIEWS]), { key, member });
      case 15:
        return this.chance(0.5)
          ? this.write(FORCED_RELEASES, { key, owner })
          : this.write(PERMIT_ENDINGS, { key, owner });
      case 16:
        return this.write(LOSSES, { key, id }, { key: other, id: this.pick(this.ids) });
      case 17:
        return this.write(CONFIRMATIONS, { key, id });
      case 18: {
        const { request } = this.acquisition(key);
        return this.write(NODE_ACQUISITIONS, { ...request, onlyFree: this.chance(0.3) });
      }
      case 19:
      case 20: {
        const { request } = this.acquisition(key);
        const wanted = { request: { ...request, sharing }, sharing, member, retention: DAY };
        return this.write(PERMIT_ACQUISITIONS, wanted);
      }
      default:
        return this.pick([
          () => this.write(PERMIT_RELEASES, { key, id, keepFor }),
          () => this.write(PERMIT_RENEWALS, { key, id, owner: id, ttl, permit: true as const }),
          () => this.write(PERMIT_REFRESHES, { member, key, label: 'x', wanted: '3 1 p' }),
          () => this.write(PERMIT_LEAVES, { member, key }),
          () => this.write(PERMIT_INSPECTIONS, { key, member }),
          () => this.write(ALONE_ACQUISITIONS, this.acquisition(key)),
          () => this.write(ALONE_ACQUISITIONS, this.acquisition(key)),
        ])();
    }
  }

  /** What a client may believe the last token of a grant to be. */
  private lastToken(id: string): number | undefined {
    return this.tokens.get(id);
  }

  /** A lock was granted, as a client reads it. */
  learn(dump: readonly unknown[]): void {
    for (const entry of dump) {
      const [value] = (entry ?? []) as unknown[];
      const match = /^holdfast:1 held \d+ (\d+) (\d+) \S+ (\S+)/.exec(String(value));
      if (match !== null)
        this.tokens.set(match[3] as string, Number(match[1]) + Number(match[2]) - 1);
    }
  }
}

async function serverTime(): Promise<number> {
  const [seconds, micros] = await real.time();
  return Number(seconds) * 1_000_000 + Number(micros);
}

/** All times that an answer tells of, if they are of the time when it was made. */
function timesIn(answer: unknown, from: number, to: number): number[] {
  const numbers = JSON.stringify(answer).match(/\d{16}/g) ?? [];
  return [...new Set(numbers.map(Number))].filter((micros) => micros >= from && micros <= to);
}

async function compareScripts(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const names = ['a', 'b'].map((name) => `holdfast:${seed}:${name}`);
  const locks = names.map((name) => `{${name}}`);
  const all = locks.flatMap((lock) =>
    ['', ':queue', ':holders', ':leases'].map((end) => lock + end),
  );
  const calls = new Calls(random, names);
  const model = new Model();
  const log: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    // Leases, reservations and registrations run out.
    if (calls.chance(0.06)) await sleep(calls.pick([20, 45, 45, 310, 510]));
    if (calls.chance(0.01)) await sleep(1_510);
    const { source, keys, argv } = calls.next();
    log.push(JSON.stringify([/^-?-? ?.*|/.exec(source)?.[0], keys, argv]));
    const from = await serverTime();
    const reply = await orError(real.eval(source, keys.length, ...keys, ...argv));
    const to = await serverTime();
    const dump = await dumpReal(all);
    const after = (await serverTime()) / 1_000;
    calls.learn(dump);
    // There is a time between before and after at which the model does exactly the same.
    const millis = Array.from(
      { length: Math.floor(to / 1_000) - Math.floor(from / 1_000) },
      (_, index) => (Math.floor(from / 1_000) + index + 1) * 1_000,
    );
    const times = [...timesIn([reply, dump], from, to), from, to, ...millis];
    const seen: unknown[] = [];
    const found = times.some((micros) =>
      model.attempt(() => {
        model.setClock(micros);
        const answer = [model.eval(source, keys, argv), model.dump(all)];
        seen.push(answer);
        return isSame(answer, [reply, dump], after, (to - from) / 1_000);
      }),
    );
    if (found) {
      model.adopt(all, dump);
      continue;
    }
    const context = `seed ${seed}, step ${step}:\n${log.slice(-8).join('\n')}`;
    expect({ context, is: seen[0] }).toEqual({ context, is: [reply, dump] });
  }
}

type Dump = readonly (readonly [value: unknown, ends: number] | null)[];

/**
 * What has run out by `after` may be there for the one and not for the other. An expiry is counted from a
 * moment of the script that the script does not know.
 */
function isSame(model: unknown[], expected: unknown[], after: number, took: number): boolean {
  const values = ([reply, dump]: unknown[]): string =>
    JSON.stringify([
      reply,
      (dump as Dump).map((entry) => (isOver(entry, after) ? null : entry?.[0])),
    ]);
  const [, one] = model as [unknown, Dump];
  const [, other] = expected as [unknown, Dump];
  const agree = one.every((entry, at) => {
    const ends = other[at]?.[1];
    return entry === null || ends === undefined || Math.abs(entry[1] - ends) <= took + 1;
  });
  return agree && values(model) === values(expected);
}

function isOver(entry: Dump[number] | undefined, after: number): boolean {
  return entry === undefined || entry === null || (entry[1] !== -1 && entry[1] < after);
}

const ANY_COMMAND = `
local reply = redis.pcall(unpack(ARGV))
if type(reply) == 'table' and reply.err then return 'error: ' .. string.match(reply.err, '%S+') end
if type(reply) == 'table' and reply.ok then return 'status: ' .. reply.ok end
return { type(reply), reply }
`;

/** Commands with all that can be wrong with them. */
function commandOf(pick: <T>(all: readonly T[]) => T): string[] {
  const key = pick(['k1', 'k2', 'k3', 'k4']);
  const member = pick(['m', 'n', 'o', 'until m', '']);
  const score = pick(['1', '-2', '3', '1790000000000123', '-1790000000000', '0.5', 'x']);
  const bound = pick(['-inf', '+inf', '(1', '(-2', '0', '3', '(1790000000000123', '1e14', 'y']);
  const index = pick(['0', '1', '-1', '-2', '64', 'z']);
  const limit = pick([[], ['LIMIT', '0', '1'], ['LIMIT', '1', '-1'], ['WITHSCORES'], ['NONE']]);
  const text = pick(['', 'value', 'holdfast:1 held 1 2 3', '42']);
  return pick([
    ['GET', key],
    ['SET', key, text],
    ['SET', key, text, 'PX', pick(['60000', '0', '-1', '1.5'])],
    ['SET', key, text, 'KEEPTTL'],
    ['SET', key, text, 'PX', '60000', 'GET'],
    ['SET', key, text, 'KEEPTTL', 'GET'],
    ['SETRANGE', key, pick(['0', '3', '16']), text],
    ['DEL', key],
    ['UNLINK', key, 'k1'],
    ['PEXPIRE', key, pick(['60000', '-5', '2.5', 'x'])],
    ['HSET', key, member, text, 'f', 'g'],
    ['HGET', key, member],
    ['HEXISTS', key, member],
    ['HDEL', key, member, 'f'],
    ['ZADD', key, score, member],
    ['ZADD', key, score, member, pick(['5', '-7']), 'n'],
    ['ZREM', key, member, 'o'],
    ['ZSCORE', key, member],
    ['ZCARD', key],
    ['ZCOUNT', key, bound, pick(['+inf', '0', '(3'])],
    ['ZRANGE', key, index, pick(['-1', '0', '3'])],
    ['ZRANGE', key, index, '-1', 'WITHSCORES'],
    ['ZREVRANGE', key, index, '-1', 'WITHSCORES'],
    ['ZRANGEBYSCORE', key, bound, pick(['+inf', '(3']), ...limit],
    ['ZREVRANGEBYSCORE', key, pick(['+inf', '(3']), bound, 'WITHSCORES', ...limit],
    ['ZREMRANGEBYSCORE', key, bound, pick(['0', '(0', '2'])],
    ['ZREMRANGEBYRANK', key, index, pick(['-1', '0'])],
    ['PTTL', 'never'],
  ]);
}

describe('the model of a server', () => {
  test.concurrent.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'runs the scripts as a server does, seed %i',
    async (seed) => {
      await compareScripts(seed);
    },
  );

  test('answers commands as a server does, and refuses what it refuses', async () => {
    const random = seededRandom(7);
    const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
    const model = new Model();
    model.setClock(await serverTime());
    await real.flushall();
    const log: string[] = [];
    for (let step = 0; step < COMMANDS; step++) {
      const words = commandOf(pick);
      log.push(words.join(' '));
      const expected = await real.eval(ANY_COMMAND, 0, ...words);
      const context = log.slice(-10).join('\n');
      expect({ context, is: model.eval(ANY_COMMAND, [], words) }).toEqual({
        context,
        is: expected,
      });
    }
  });

  test('refuses a command that it does not know, loudly', () => {
    const model = new Model();
    expect(() => model.eval("return redis.call('LPUSH', KEYS[1], 'x')", ['k'], [])).toThrow(
      'LPUSH',
    );
    expect(new SortedSet().size).toBe(0);
  });
});
