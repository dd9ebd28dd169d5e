// Clients and handlers that do as they please, at random: nobody overlaps, and nothing stays locked.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { memoryStore } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { seededRandom } from '@holdfast/testing';
import compression from 'compression';
import { expect, test } from 'vitest';
import { express, rawClient, realLocker, serve, until, type RawClient, type Site } from './kit.ts';

const KEYS = ['a', 'b', 'c'];
const CLIENTS = 12;
const REQUESTS = 40;

/** Tells that its work is done, before it ends its response, and then does. */
type Handler = (res: express.Response, pause: () => Promise<unknown>, done: () => void) => unknown;

const handlers: Handler[] = [
  (res, _pause, done) => {
    done();
    res.json({ ok: true });
  },
  async (res, pause, done) => {
    await pause();
    done();
    res.send('later');
  },
  async (res, pause, done) => {
    res.write('some');
    await pause();
    done();
    res.end('more');
  },
  async (res, pause, done) => {
    await pause();
    done();
    res.destroy();
  },
  async (res, pause, done) => {
    await pause();
    done();
    res.send(randomBytes(2_000_000));
  },
  async (res, _pause, done) => {
    for await (const chunk of Readable.from(['a', 'b', 'c'])) res.write(chunk);
    done();
    res.end();
  },
];

test.each([1, 2, 3])('seed %d', { timeout: 120_000 }, async (seed) => {
  // The same in every run; what it meets is not.
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pause = () => sleep(below(8));
  // A lock that only its ttl frees would be seen.
  const locker = realLocker(memoryStore(), { ttl: 600_000 });
  const inside = new Map<string, number>();
  let overlaps = 0;
  let runs = 0;

  const enter = (key: string): (() => void) => {
    const count = (inside.get(key) ?? 0) + 1;
    inside.set(key, count);
    runs += 1;
    if (count > 1) overlaps += 1;
    return () => inside.set(key, (inside.get(key) ?? 0) - 1);
  };
  const handle = (res: express.Response, done: () => void) =>
    handlers[below(handlers.length)]?.(res, pause, done);

  const app = express();
  if (seed === 2) app.use(compression());
  const lock = lockRoute({
    locker,
    key: async (req) => {
      if (random() < 0.2) await pause();
      return req.params['key'] ?? '';
    },
    wait: () => (random() < 0.5 ? 0 : below(100)),
  });
  app.get('/middleware/:key', lock, (req, res) => void handle(res, enter(req.params['key'])));
  app.get(
    '/handler/:key',
    lock.handler(async (req, res) => {
      const done = enter(req.params['key'] ?? '');
      await handle(res, () => {});
      // Work after the response.
      if (random() < 0.3) await pause();
      done();
    }),
  );
  const site: Site = await serve(app);
  const client = async (): Promise<void> => {
    let connection: RawClient = await rawClient(site);
    for (let request = 0; request < REQUESTS; request++) {
      const form = random() < 0.5 ? 'middleware' : 'handler';
      const before = connection.received.length;
      connection.send(
        `GET /${form}/${KEYS[below(KEYS.length)]} HTTP/1.1`,
        'Host: x',
        'Accept-Encoding: gzip',
      );
      const answered = () => connection.received.length > before || connection.socket.destroyed;
      if (random() < 0.7) for (let left = 20; left > 0 && !answered(); left--) await sleep(5);
      if (random() < 0.05) connection.socket.pause();
      if (random() < 0.2 || connection.socket.destroyed || connection.socket.isPaused()) {
        await pause();
        if (random() < 0.5) connection.socket.end();
        else connection.socket.resetAndDestroy();
        connection = await rawClient(site);
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  await until(async () => {
    const held = await Promise.all(KEYS.map((key) => locker.inspect(key)));
    return held.every((info) => info === null);
  });
  expect(overlaps).toBe(0);
  expect(runs).toBeGreaterThan(50);
});
