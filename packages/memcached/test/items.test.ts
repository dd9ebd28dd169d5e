import type { AcquireRequest } from '@holdfast/core';
import { Client } from 'memjs';
import { describe, expect, vi } from 'vitest';
import { Connections } from '../src/connections.ts';
import { Grants } from '../src/grants.ts';
import { ItemLocks } from '../src/item-locks.ts';
import { jsonFormat } from '../src/lock-item.ts';
import { BinaryItems, type Item, type Items, type Version } from '../src/items.ts';
import { Gate } from './kit/gate.ts';
import { test, until, type Site } from './kit/site.ts';

function itemsOf(site: Site, client = site.client()): BinaryItems {
  const connections = new Connections(client, () => {});
  site.onEnd(() => connections.close());
  return new BinaryItems(connections);
}

function request(more: Partial<AcquireRequest> = {}): AcquireRequest {
  const id = 'id-1';
  const common = { key: 'key', id, owner: id, label: 'test', ttl: 10_000, tokens: 5 };
  return { ...common, client: 'client', wait: false, ...more };
}

describe('items', () => {
  test('writes items when they are absent, and then only over what they are', async ({ site }) => {
    const items = itemsOf(site);
    expect(await items.read('key')).toBeUndefined();
    const first = await items.write('key', 'one', 10);
    expect(first).toBeDefined();
    expect(await items.write('key', 'two', 10)).toBeUndefined();
    const second = await items.write('key', 'two', 10, first);
    expect(await items.write('key', 'three', 10, first)).toBeUndefined();
    expect(await items.read('key')).toEqual({ value: 'two', version: second });
    expect(await items.remove('key', first as Version)).toBe(false);
    expect(await items.remove('key', second as Version)).toBe(true);
    expect(await items.remove('key', second as Version)).toBe(false);
    expect(await items.write('key', 'four', 10, second)).toBeUndefined();
    expect(await items.read('key')).toBeUndefined();
  });

  test('have versions that count on their own connection only', async ({ site }) => {
    const items = itemsOf(site);
    const version = (await items.write('key', 'one', 10)) as Version;
    const before = site.proxy.requests;
    const elsewhere = itemsOf(site);
    expect(await elsewhere.write('key', 'two', 10, version)).toBeUndefined();
    expect(await elsewhere.remove('key', version)).toBe(false);
    expect(site.proxy.requests).toBe(before);
    expect(await items.remove('key', version)).toBe(true);
  });

  test('never live for ever', async ({ site }) => {
    const items = itemsOf(site);
    for (const exptime of [0, 0.5, 1.5, -1, Number.NaN, Infinity, 2_592_001]) {
      expect(() => items.write('key', 'one', exptime)).toThrow(RangeError);
    }
    expect(await items.write('key', 'one', 2_592_000)).toBeDefined();
  });

  test('tells items apart after 2³² requests on one connection', async ({ site }) => {
    const connections = new Connections(site.client(), () => {});
    site.onEnd(() => connections.close());
    const items = new BinaryItems(connections);
    await items.read('key');
    const connection = connections.for('key');
    Reflect.set(connection, 'lastSent', 0xffff_fffb);
    Reflect.set(connection, 'lastAnswered', 0xffff_fffb);
    for (let round = 0; round < 3; round++) {
      const keys = ['a', 'b', 'c', 'd'];
      const values = keys.map((key) => `${key}${round}`);
      await Promise.all(keys.map((key, index) => items.write(key, values[index] as string, 10)));
      const read = await Promise.all(keys.map((key) => items.read(key)));
      expect(read.map((item) => item?.value)).toEqual(['a0', 'b0', 'c0', 'd0']);
    }
    expect(connections.for('key')).toBe(connection);
  });

  test('takes no item for another when a reply is lost on the way', async ({ site }) => {
    const gate = await Gate.open(site.server);
    site.onEnd(() => gate.end());
    // Long, so that what comes next comes before the time-out.
    const items = itemsOf(site, Client.create(gate.address, { timeout: 20 }));
    await items.read('first');
    gate.passage.mute = true;
    const lost = items.write('a', 'one', 10);
    await until('its reply is lost', () => gate.passage.unheard > 0);
    gate.passage.mute = false;
    // Nobody knows what became of either, so that they have to be read.
    expect(await items.write('b', 'two', 10)).toBeUndefined();
    expect(await lost).toBeUndefined();
    expect((await items.read('a'))?.value).toBe('one');
    expect((await items.read('b'))?.value).toBe('two');
  });

  test('may be asked for without a pause for long', async ({ site }) => {
    const items = itemsOf(site);
    let answers = 0;
    const ask = async (): Promise<void> => {
      for (let left = 2_000; left > 0; left--) {
        await items.read(`key:${left}`);
        answers += 1;
      }
    };
    await Promise.all([ask(), ask(), ask()]);
    expect(answers).toBe(6_000);
  });
});

/** Items that somebody rewrites just before we do. */
class ContestedItems implements Items {
  contested = true;

  constructor(
    private readonly ours: Items,
    private readonly theirs: Items,
  ) {}

  read(key: string): Promise<Item | undefined> {
    return this.ours.read(key);
  }

  async write(key: string, value: string, exptime: number, over?: Version) {
    if (over !== undefined) await this.contest(key);
    return this.ours.write(key, value, exptime, over);
  }

  async remove(key: string, over: Version): Promise<boolean> {
    await this.contest(key);
    return this.ours.remove(key, over);
  }

  private async contest(key: string): Promise<void> {
    const item = this.contested ? await this.theirs.read(key) : undefined;
    if (item !== undefined) await this.theirs.write(key, item.value, 60, item.version);
  }
}

describe('an item that changed 5 times than it can be read and written', () => {
  test('loses, frees and takes no item that changed 5 times before it could be written', async ({
    site,
  }) => {
    const plain = itemsOf(site);
    const items = new ContestedItems(itemsOf(site), plain);
    const holder = new ItemLocks(items, jsonFormat);
    expect(await holder.acquire(request())).toMatchObject({ granted: true });
    const renewal = { key: 'key', id: 'id-1', owner: 'id-1', ttl: 10_000 };
    await expect(holder.renew(renewal)).rejects.toThrow(/changed 5 times/);
    await expect(holder.release({ key: 'key', id: 'id-1' })).rejects.toThrow(/changed 5 times/);
    await expect(holder.forceRelease('key')).rejects.toThrow(/changed 5 times/);
    items.contested = false;
    expect(await holder.renew(renewal)).toBe('renewed');
    expect(await holder.release({ key: 'key', id: 'id-1' })).toBe(true);
    await plain.write('key', '', 60);
    items.contested = true;
    expect(await holder.acquire(request({ id: 'id-2' }))).toMatchObject({ granted: false });
    items.contested = false;
    expect(await holder.acquire(request({ id: 'id-2' }))).toMatchObject({ granted: true });
  });
});

/** Items of which the answer to a write can be late. */
class LateItems implements Items {
  /** Until then no write is answered. */
  answered = Promise.resolve();
  readonly exptimes: number[] = [];

  constructor(private readonly items: Items) {}

  read(key: string): Promise<Item | undefined> {
    return this.items.read(key);
  }

  async write(key: string, value: string, exptime: number, over?: Version) {
    this.exptimes.push(exptime);
    const { answered } = this;
    const version = await this.items.write(key, value, exptime, over);
    await answered;
    return version;
  }

  remove(key: string, over: Version): Promise<boolean> {
    return this.items.remove(key, over);
  }
}

test('a lease is not shortened when an earlier grant of the process is heard of late', async ({
  site,
}) => {
  const plain = itemsOf(site);
  const items = new LateItems(plain);
  const holder = new ItemLocks(items, jsonFormat);
  let answer = (): void => {};
  items.answered = new Promise((resolve) => (answer = resolve));
  const late = holder.acquire(request());
  await until('it is granted', async () => (await plain.read('key')) !== undefined);
  // It is over before its holder hears of it.
  await plain.remove('key', ((await plain.read('key')) as Item).version);
  items.answered = Promise.resolve();
  expect(await holder.acquire(request({ id: 'id-2', ttl: 25_000 }))).toMatchObject({
    granted: true,
  });
  answer();
  await late;
  expect(await holder.renew({ key: 'key', id: 'id-2', owner: 'id-2', ttl: 2_000 })).toBe('renewed');
  expect(items.exptimes.at(-1)).toBeGreaterThan(20);
});

/** Items of a server that has written very much. */
class OldItems implements Items {
  constructor(
    private readonly items: Items,
    private readonly age: bigint,
  ) {}

  async read(key: string): Promise<Item | undefined> {
    const item = await this.items.read(key);
    return item && { ...item, version: this.aged(item.version, this.age) };
  }

  async write(key: string, value: string, exptime: number, over?: Version) {
    const young = over && this.aged(over, -this.age);
    const version = await this.items.write(key, value, exptime, young);
    return version && this.aged(version, this.age);
  }

  remove(key: string, over: Version): Promise<boolean> {
    return this.items.remove(key, this.aged(over, -this.age));
  }

  private aged({ cas, connection }: Version, by: bigint): Version {
    return { cas: cas + by, connection };
  }
}

describe('a fencing token', () => {
  test('consists of the CAS id and room for a block', async ({ site }) => {
    const holder = new ItemLocks(itemsOf(site), jsonFormat);
    const reply = await holder.acquire(request({ tokens: 1_024 }));
    const item = await site.item('key');
    expect(reply).toMatchObject({ token: (item?.cas ?? 0) * 1_024, tokens: 1_024 });
  });

  test('falls back to 0 where there is no safe number for it', async ({ site }) => {
    for (const [age, known] of [
      [2n ** 43n - 1_000n, true],
      [2n ** 43n, false],
      [2n ** 60n, false],
    ] as const) {
      const holder = new ItemLocks(new OldItems(itemsOf(site), age), jsonFormat);
      const reply = await holder.acquire(request());
      if (!reply.granted) throw new Error('It should have been granted.');
      expect(reply.token > 0).toBe(known);
      expect(Number.isSafeInteger(reply.token + 1_023)).toBe(true);
      const renewal = { key: 'key', id: 'id-1', owner: 'id-1', ttl: 10_000 };
      expect(await holder.renew(renewal)).toBe('renewed');
      expect(await holder.release({ key: 'key', id: 'id-1' })).toBe(true);
    }
  });
});

describe('what is remembered of grants', () => {
  test('forgets grants that are long over', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const grants = new Grants();
      const version = {} as Version;
      const sizes = (): number[] =>
        ['byKey', 'unknownOutcomes'].map(
          (name) => (Reflect.get(grants, name) as Map<string, unknown>).size,
        );
      for (let round = 0; round < 20; round++) {
        for (let index = 0; index < 2_000; index++) {
          const id = `${round}:${index}`;
          const endsAt = performance.now() + 2_000;
          const grant = { id, owner: id, label: '', token: 1, version };
          grants.add(id, { ...grant, askedAt: performance.now(), until: endsAt });
          grants.outcomeUnknown(`doubtful ${id}`, id, endsAt);
          if (index % 2 === 0) grants.drop(id, id);
        }
        vi.advanceTimersByTime(10_000);
      }
      for (const size of sizes()) expect(size).toBeLessThan(10_000);
      expect(grants.of('19:1999', '19:1999')).toBeDefined();
      expect(grants.of('19:1998', '19:1998')).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });
});
