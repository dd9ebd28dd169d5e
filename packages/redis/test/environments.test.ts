import { setImmediate as turn } from 'node:timers/promises';
import {
  createLocker,
  storedKey,
  type Lock,
  type Locker,
  type LockerOptions,
} from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { afterAll, describe, expect, test } from 'vitest';
import config from '../../../vitest.config.ts';
import { clientKind } from './clients/index.ts';
import { environments, Servers, type Environment } from './environments.ts';
import { recorded, type RecordedStore } from './recorded-store.ts';
import { until, waiting } from './site.ts';

// Wherever locks are used, the same must happen. Each test is one cell of the matrix.

const LIMIT = 60_000;
/** A renewal is 20 s away. */
const LONG = { ttl: 60_000 };

const servers = new Servers();
const lockers: Locker[] = [];
afterAll(async () => {
  await Promise.all(lockers.map((locker) => locker.close()));
  await servers.end();
}, LIMIT);

interface Process extends RecordedStore {
  readonly locker: Locker;
  readonly made: Awaited<ReturnType<Environment['connect']>>;
}

/** A locker with all its own, as in a process of its own. */
async function start(environment: Environment, options: LockerOptions = {}): Promise<Process> {
  const made = await environment.connect();
  const record = recorded(redisStore(made.client));
  const locker = createLocker({ store: record.store, ...options });
  lockers.push(locker);
  return Object.assign(record, { locker, made });
}

const onServer = (key: string): string => `{${storedKey('holdfast', key)}}`;

/** Until a request is answered, which it is not while servers change their roles. */
async function eventually<T>(what: string, ask: () => Promise<T>): Promise<T> {
  let answer: { value: T } | undefined;
  await until(what, async () => {
    answer = await ask().then(
      (value) => ({ value }),
      () => undefined,
    );
    return answer !== undefined;
  });
  return (answer as { value: T }).value;
}

type Scenario = (environment: Environment, key: string) => Promise<void>;

const scenarios: Record<string, Scenario> = {
  'one holds at a time, with growing tokens': async (environment, key) => {
    const tokens: number[] = [];
    let holders = 0;
    const work = async ({ fencingToken }: Lock): Promise<void> => {
      holders += 1;
      expect(holders).toBe(1);
      tokens.push(fencingToken);
      await turn();
      holders -= 1;
    };
    const rounds = async ({ locker }: Process): Promise<void> => {
      for (let round = 0; round < 6; round++) await locker.withLock(key, { wait: LIMIT }, work);
    };
    const all = Array.from({ length: 3 }, async () => rounds(await start(environment)));
    await Promise.all([...all, environment.disturb?.(onServer(key))]);
    expect(tokens).toHaveLength(18);
    expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
  },

  'a release is told by message, not by a timer': async (environment, key) => {
    const [holder, next] = [await start(environment), await start(environment)];
    /** Passes the lock on, and tells whether a message has come of it. */
    const passOn = async (): Promise<boolean> => {
      const lock = await holder.locker.lock(key);
      const { taken } = await waiting(next.locker, () => next.locker.lock(key));
      const before = next.wakes();
      await lock.release();
      await (await taken).release();
      const told = until('a message has come', () => next.wakes() > before, 1_500);
      return told.then(
        () => true,
        () => false,
      );
    };
    // The first may come while the connection for messages is still being made.
    const threeInARow = async (): Promise<void> => {
      let inARow = 0;
      await until('three releases in a row are told by message', async () => {
        inARow = (await passOn()) ? inARow + 1 : 0;
        return inARow === 3;
      });
    };
    await threeInARow();
    if (environment.disturb === undefined) return;
    await environment.disturb(onServer(key));
    await threeInARow();
  },

  'a forced release is told by message, not by a renewal': async (environment, key) => {
    const [holder, operator] = [await start(environment, LONG), await start(environment)];
    const lock = await holder.locker.lock(key);
    await environment.disturb?.(onServer(key));
    const forced = (): Promise<boolean> => operator.locker.forceRelease(key);
    expect(await eventually('the lock is freed', forced)).toBe(true);
    await until('its holder is told', () => lock.state === 'lost', 15_000);
    expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
    if (environment.disturb !== undefined) return;
    expect(holder.renewals).toBe(0);
    expect(holder.events.map(({ type }) => type)).toContain('lost');
  },

  'many locks are renewed at once': async (environment, key) => {
    // A machine may stand still for seconds, and then all would be lost.
    const { locker } = await start(environment, { ttl: 12_000 });
    const renewals = new Map<string, number>();
    locker.on('renewed', ({ key: renewed }) =>
      renewals.set(renewed, (renewals.get(renewed) ?? 0) + 1),
    );
    const keys = Array.from({ length: 60 }, (_, index) => `${key} ${index}`);
    const locks = await Promise.all(keys.map((one) => locker.lock(one, { wait: LIMIT })));
    await environment.disturb?.(onServer(keys[0] as string));
    await until('all are renewed twice', () => keys.every((one) => (renewals.get(one) ?? 0) >= 2));
    expect(locks.filter(({ state }) => state !== 'held')).toEqual([]);
    await Promise.all(locks.map((lock) => lock.release()));
    // A release goes on where a machine stands still for so long that it does not wait for the answer.
    const isFree = async (one: string): Promise<boolean> => (await locker.inspect(one)) === null;
    await until('all are free', async () => !(await Promise.all(keys.map(isFree))).includes(false));
  },

  'a loss is told, and an outage is none': async (environment, key) => {
    const { locker, made } = await start(environment, LONG);
    const lost = await locker.lock(key);
    await environment.disturb?.(onServer(key));
    await eventually('it is deleted', () => environment.delete(onServer(key)));
    await until('its holder is told', async () => {
      await lost.extend().catch(() => {});
      return lost.state === 'lost';
    });
    expect(lost.signal.reason).toMatchObject({ reason: 'evicted' });
    const kept = await locker.lock(key);
    expect(kept.fencingToken).toBeGreaterThan(lost.fencingToken);
    await made.cut();
    await eventually('it is renewed again', () => kept.extend());
    expect(kept.state).toBe('held');
    expect(await kept.release()).toBe(true);
  },

  'as many hold permits as there is room, and who waits is served': async (environment, key) => {
    const [one, other, next] = [
      await start(environment, LONG),
      await start(environment, LONG),
      await start(environment, LONG),
    ];
    const asked = { limit: 5, wait: LIMIT };
    const three = await one.locker.lock(key, { ...asked, weight: 3 });
    const two = await other.locker.lock(key, { ...asked, weight: 2 });
    await environment.disturb?.(onServer(key));
    for (const lock of [three, two]) await eventually('a permit is renewed', () => lock.extend());
    const { taken } = await waiting(next.locker, () => next.locker.lock(key, asked));
    const more = (): Promise<Lock | null> => one.locker.tryLock(key, { limit: 5 });
    expect(await eventually('it is answered', more)).toBeNull();
    expect(await three.release()).toBe(true);
    const third = await taken;
    expect(third.fencingToken).toBeGreaterThan(two.fencingToken);
    const forced = (): Promise<boolean> => one.locker.forceRelease(key, { owner: two.owner });
    expect(await eventually('it is ended', forced)).toBe(true);
    await until('its holder is told', () => two.state === 'lost', 15_000);
    expect(two.signal.reason).toMatchObject({ reason: 'forced' });
    const info = await eventually('it is answered', () => one.locker.inspect(key));
    expect(info).toMatchObject({ owner: third.owner });
    expect(await third.release()).toBe(true);
  },

  'readers hold together, and a writer alone': async (environment, key) => {
    const [one, other, writer] = [
      await start(environment, LONG),
      await start(environment, LONG),
      await start(environment, LONG),
    ];
    const reads = { shared: true, wait: LIMIT };
    const readers = [await one.locker.lock(key, reads), await other.locker.lock(key, reads)];
    const { taken } = await waiting(writer.locker, () => writer.locker.lock(key, { wait: LIMIT }));
    await environment.disturb?.(onServer(key));
    for (const lock of readers) expect(await lock.release()).toBe(true);
    const written = await taken;
    expect(readers.map(({ fencingToken }) => fencingToken < written.fencingToken)).toEqual([
      true,
      true,
    ]);
    const read = (): Promise<Lock | null> => one.locker.tryLock(key, { shared: true });
    expect(await eventually('it is answered', read)).toBeNull();
    expect(await written.release()).toBe(true);
  },
};

const cells: string[] = [];

for (const [place, open] of Object.entries(environments)) {
  const reason = clientKind.cannot[place];
  const title = reason === undefined ? place : `${place}: ${reason}`;
  describe.skipIf(reason !== undefined).concurrent(title, () => {
    for (const [what, run] of Object.entries(scenarios)) {
      if (reason === undefined) cells.push(`${place}: ${what}`);
      test(what, { timeout: LIMIT * 2 }, async () => {
        const environment = await servers.once(`environment ${place}`, () => open(servers));
        await run(environment, `${place}: ${what}`);
      });
    }
  });
}

/** What a client may leave out: of node-redis, only version 5 anything. */
const LEFT_OUT: Readonly<Record<string, string[][]>> = {
  ioredis: [[]],
  'node-redis': [[], ['a key prefix']],
  glide: [['a key prefix', 'Sentinel with passwords on both']],
};

test('no cell of the matrix is missing', () => {
  const places = [
    'a single server',
    'a database other than 0',
    'a key prefix',
    'a password',
    'a user with the least rights',
    'TLS',
    'Sentinel with passwords on both',
    'a cluster',
    'a cluster with a password',
    'a cluster with TLS',
    'a cluster with natMap',
    'a cluster with scaleReads',
    'a cluster with replicas that fails over',
    'a cluster whose slot moves',
    'a cluster whose slot moves, with a user with the least rights',
    'a sharded server behind a plain client',
    'a replica that is promoted under a client',
  ];
  const events = [
    'one holds at a time, with growing tokens',
    'a release is told by message, not by a timer',
    'a forced release is told by message, not by a renewal',
    'many locks are renewed at once',
    'a loss is told, and an outage is none',
    'as many hold permits as there is room, and who waits is served',
    'readers hold together, and a writer alone',
  ];
  expect(LEFT_OUT[process.env['ON_CLIENT'] ?? 'ioredis']).toContainEqual(
    Object.keys(clientKind.cannot),
  );
  const there = places.filter((place) => !(place in clientKind.cannot));
  expect(cells).toEqual(there.flatMap((place) => events.map((event) => `${place}: ${event}`)));
});

test('the matrix is run on every client', () => {
  const projects = (config.test?.projects ?? []) as { test: { name: string; include: string[] } }[];
  const runs = projects.filter(
    ({ test: { name, include } }) =>
      name.startsWith('redis') &&
      include.some((pattern) => /^(?:test\/)?(?:\*|environments)\.test\.ts$/.test(pattern)),
  );
  expect(runs.map(({ test: { name } }) => name)).toEqual([
    'redis',
    'redis on ioredis5',
    'redis on ioredis5.3',
    'redis on iovalkey',
    'redis on node-redis',
    'redis on node-redis5',
    'redis on glide',
  ]);
});
