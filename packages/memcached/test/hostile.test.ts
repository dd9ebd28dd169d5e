import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { LockStoreError } from '@holdfast/core';
import { memcachedBinary, startMemcached, startRedis } from '@holdfast/test-servers';
import { seededRandom } from '@holdfast/testing';
import { Client } from 'memjs';
import { describe, expect, inject, vi } from 'vitest';
import { NotBinaryError, ReplyReader } from '../src/frames.ts';
import { memcachedStore } from '../src/index.ts';
import { jsonFormat } from '../src/lock-item.ts';
import { test, type Site } from './kit/site.ts';

const HEADER = 24;
/** The extras of a reply with an item, in bytes. */
const FLAGS = 4;

/** Whole numbers from 0 to `limit` - 1, the same for one seed. */
function seeded(seed: number): { below(limit: number): number } {
  const random = seededRandom(seed);
  return { below: (limit) => Math.floor(random() * limit) };
}

/** A server that answers every chunk as `answer` says, and any greeting as memcached does. */
async function startServer(
  site: Site,
  answer: (request: Buffer, socket: Socket) => void,
): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => answer(chunk, socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  site.onEnd(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What a lock on the server at `address` rejects with, however long it may wait. */
async function failureAt(site: Site, address: string, wait = Infinity): Promise<LockStoreError> {
  const locker = site.locker({}, Client.create(address));
  const error: unknown = await locker.lock('key', { wait }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LockStoreError);
  return error as LockStoreError;
}

describe.concurrent('a server that is no binary memcached', () => {
  test('rejects permanently, in its own words, if it is memcached with -B ascii', async ({
    site,
  }) => {
    const server = await startMemcached(memcachedBinary(), ['-B', 'ascii']);
    try {
      const error = await failureAt(site, `${server.host}:${server.port}`);
      expect(error.permanent).toBe(true);
      expect(error.message).toContain(`memcached ${server.host}:${server.port}`);
      expect(error.message).toContain('"ERROR"');
      expect(error.message).toContain('-B ascii');
    } finally {
      await server.stop();
    }
  });

  test('rejects permanently, in its own words, if it is a Redis', async ({ site }) => {
    const server = await startRedis(inject('redis').binary ?? '');
    try {
      const error = await failureAt(site, `${server.host}:${server.port}`);
      expect(error.permanent).toBe(true);
      expect(error.message).toContain('-ERR unknown command');
    } finally {
      await server.stop();
    }
  });

  test('retries until the limit if it only has too many connections', async ({ site }) => {
    const address = await startServer(site, (_request, socket) =>
      socket.end('ERROR Too many open connections\r\n'),
    );
    const error = await failureAt(site, address, 3_000);
    expect(error.permanent).toBe(false);
    expect(String(error.cause)).toContain('Too many open connections');
  });
});

describe('a reply reader', () => {
  test('keeps at most 64 kB of a reply whose header promises more', () => {
    const reader = new ReplyReader();
    const header = Buffer.alloc(HEADER);
    header[0] = 0x81;
    header[4] = FLAGS;
    header.writeUInt32BE(0xffff_ffff, 8);
    const found: number[] = [];
    reader.read(header, ({ value }) => found.push(value.length));
    const drip = Buffer.alloc(16_384, 0x61);
    for (let round = 0; round < 10_000; round++) {
      reader.read(drip, ({ value }) => found.push(value.length));
      expect((Reflect.get(reader, 'rest') as Buffer).length).toBeLessThanOrEqual(65_536 + 16_384);
    }
    expect(found).toEqual([65_536 - HEADER - FLAGS]);
  });

  test('finds the reply after one that was too long', () => {
    const reader = new ReplyReader();
    const long = Buffer.alloc(HEADER + 200_000, 0x61);
    long.fill(0, 0, HEADER);
    long[0] = 0x81;
    long[4] = FLAGS;
    long.writeUInt32BE(200_000, 8);
    const next = Buffer.alloc(HEADER + FLAGS + 3);
    next[0] = 0x81;
    next[4] = FLAGS;
    next.writeUInt32BE(FLAGS + 3, 8);
    next.write('end', HEADER + FLAGS);
    const stream = Buffer.concat([long, next]);
    for (const size of [1_000, 65_536, 65_537, stream.length]) {
      const found: string[] = [];
      for (let at = 0; at < stream.length; at += size) {
        reader.read(stream.subarray(at, at + size), ({ value }) => found.push(value));
      }
      expect(found).toHaveLength(2);
      expect(found[1]).toBe('end');
    }
  });

  test('never throws anything but its own errors, whatever arrives', () => {
    const random = seeded(1);
    for (let round = 0; round < 5_000; round++) {
      const reader = new ReplyReader();
      const bytes = Buffer.from(Array.from({ length: random.below(120) }, () => random.below(256)));
      // Half of them look like a reply, so that the fields behind the first byte are read.
      if (random.below(2) === 0 && bytes.length > 0) bytes[0] = 0x81;
      try {
        reader.read(bytes, () => {});
      } catch (error) {
        if (!(error instanceof NotBinaryError)) expect(String(error)).toContain('lengths');
      }
    }
  });
});

test('an item that Holdfast did not write is never taken for a lock, whatever it holds', () => {
  const random = seeded(2);
  const values = ['', 'x', 1, -1, null, true, {}, [], 1e300, 'é', undefined];
  const any = (): unknown => values[random.below(values.length)];
  for (let round = 0; round < 5_000; round++) {
    const item = { id: any(), owner: any(), label: any(), token: any(), over: any(), kept: any() };
    const text = JSON.stringify({ v: 1, ...item });
    const cut = random.below(3) === 0 ? text.slice(0, random.below(text.length)) : text;
    const found = jsonFormat.decode(cut);
    if (found === undefined || found.foreign === true) continue;
    expect(typeof found.id).toBe('string');
    expect(typeof found.owner).toBe('string');
    expect(typeof found.label).toBe('string');
    expect(found.token === undefined || Number.isSafeInteger(found.token)).toBe(true);
  }
});

/** The address of a gate to the site's server, which may change the replies on their way. */
async function startGate(site: Site, change: (replies: Buffer) => void): Promise<string> {
  const gate = createServer((client) => {
    const server = connect(site.server.port, site.server.host);
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
    client.pipe(server);
    server.on('data', (chunk: Buffer) => {
      change(chunk);
      client.write(chunk);
    });
  });
  gate.listen(0, '127.0.0.1');
  await once(gate, 'listening');
  site.onEnd(() => gate.close());
  return `127.0.0.1:${(gate.address() as AddressInfo).port}`;
}

test('replies that are changed at random on the way grant no lock that is not held', async ({
  site,
}) => {
  const random = seeded(3);
  const address = await startGate(site, (replies) => {
    if (random.below(3) === 0) replies[random.below(replies.length)] = random.below(256);
  });
  const locker = site.locker({ ttl: 2_000, storeTimeout: 200 }, Client.create(address));
  const honest = site.locker();
  let granted = 0;
  for (let round = 0; round < 30; round++) {
    const key = `key:${round}`;
    const holder = round % 2 === 0 ? await honest.lock(key) : undefined;
    const lock = await locker.tryLock(key).catch((error: unknown) => {
      expect(error).toBeInstanceOf(LockStoreError);
      return null;
    });
    if (holder !== undefined) expect(lock).toBeNull();
    if (lock !== null) granted += 1;
    await Promise.all([holder?.release(), lock?.release()]);
  }
  expect(granted).toBeGreaterThan(0);
});

test.concurrent.for(Array.from({ length: HEADER }, (_, byte) => byte))(
  'no change of byte %i in the header of a reply makes a held lock look free',
  async (byte, { site }) => {
    let become: number | undefined;
    const address = await startGate(site, (replies) => {
      for (let at = 0; at + HEADER <= replies.length; at += HEADER + replies.readUInt32BE(at + 8)) {
        // An item: what decides whether the lock may be taken.
        if (become === undefined || replies[at + 1] !== 0 || replies[at + 7] !== 0) continue;
        replies[at + byte] = become;
        return;
      }
    });
    const locker = site.locker({ ttl: 2_000, storeTimeout: 200 }, Client.create(address));
    await (await locker.lock('warm-up')).release();
    await site.locker().lock('key');
    for (become of [1, 64, 255]) {
      const lock = await locker.tryLock('key').catch((error: unknown) => error);
      if (lock !== null) expect(lock).toBeInstanceOf(LockStoreError);
    }
  },
);

test('a kept lock stays kept when its release comes again, with or without `keepFor`', async ({
  site,
}) => {
  const store = memcachedStore(site.client());
  const unsubscribe = store.subscribe('client', () => {});
  site.onEnd(() => unsubscribe());
  const request = { key: 'kept', id: 'id-1', owner: 'id-1', label: 'test', ttl: 10_000 };
  const acquire = { ...request, tokens: 1, client: 'client', wait: false };
  expect(await store.acquire(acquire)).toMatchObject({ granted: true });
  expect(await store.release({ key: 'kept', id: 'id-1', keepFor: 5_000 })).toBe(true);
  expect(await store.release({ key: 'kept', id: 'id-1', keepFor: 5_000 })).toBe(true);
  expect(await store.release({ key: 'kept', id: 'id-1' })).toBe(false);
  expect(await store.acquire({ ...acquire, id: 'id-2' })).toMatchObject({ granted: false });
});

test("locks work under a test runner's fake timers, which replace process.nextTick too", async ({
  site,
}) => {
  const locker = site.locker();
  const nextTick = vi.spyOn(process, 'nextTick');
  const callers: string[] = [];
  vi.useFakeTimers({ toFake: ['queueMicrotask', 'setImmediate', 'setTimeout'] });
  try {
    const locks = await Promise.all(['a', 'b', 'c'].map((key) => locker.tryLock(key)));
    expect(locks.map((lock) => lock?.state)).toEqual(['held', 'held', 'held']);
    for (const lock of locks) await lock?.release();
    for (const [callback] of nextTick.mock.calls) callers.push(String(callback));
  } finally {
    vi.useRealTimers();
    nextTick.mockRestore();
  }
  // Node itself calls it too; what the store passed on was a call of its own `flush`.
  expect(callers.filter((source) => source.includes('flush'))).toEqual([]);
});
