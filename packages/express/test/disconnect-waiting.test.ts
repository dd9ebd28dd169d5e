// A client that goes away before its request has its lock: the wait is cancelled, its handler never runs.
import type { Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { deferred, express, post, rawClient, serve, testLocker, until } from './kit.ts';

const POST = ['POST / HTTP/1.1', 'Host: x', 'Content-Length: 0'];

const isFree = async (locker: Locker): Promise<boolean> => (await locker.inspect('k')) === null;
const waits = async (locker: Locker, count: number): Promise<boolean> =>
  (await locker.inspect('k'))?.waiters === count;

describe('a client that leaves while its request waits', () => {
  test.each(['middleware', 'handler'])('cancels the wait: its %s never runs', async (form) => {
    const { locker } = testLocker();
    const held = await locker.lock('k');
    let ran = 0;
    const lock = lockRoute({ locker, key: 'k', wait: 60_000 });
    const run: express.RequestHandler = (_req, res) => {
      ran += 1;
      res.send('ok');
    };
    const app = express();
    app.post('/', form === 'handler' ? lock.handler(run) : [lock, run]);
    const site = await serve(app);
    const client = await rawClient(site);
    client.send(...POST);
    await until(() => waits(locker, 1));
    const behind = post(site.url);
    await until(() => waits(locker, 2));

    client.socket.destroy();
    await until(() => waits(locker, 1));
    await held.release();
    expect((await behind).status).toBe(200);
    expect(ran).toBe(1);
    await until(() => isFree(locker));
  });

  test('cancels the wait behind others on its connection, and after its body was read', async () => {
    const { locker } = testLocker();
    await locker.lock('k');
    let ran = 0;
    const app = express();
    app.use(express.text());
    app.get('/slow', () => {});
    app.post('/', lockRoute({ locker, key: 'k', wait: 60_000 }), () => (ran += 1));
    const client = await rawClient(await serve(app));
    client.send('GET /slow HTTP/1.1', 'Host: x');
    client.send(
      'POST / HTTP/1.1',
      'Host: x',
      'Content-Type: text/plain',
      'Content-Length: 2',
      '',
      'hi',
    );
    client.send(
      'POST / HTTP/1.1',
      'Host: x',
      'Content-Type: text/plain',
      'Content-Length: 2',
      '',
      'hi',
    );
    await until(() => waits(locker, 2));
    client.socket.destroy();
    await until(() => waits(locker, 0));
    expect(ran).toBe(0);
  });

  test('cancels it even if disconnects do not abort the lock', async () => {
    const { locker } = testLocker();
    await locker.lock('k');
    const app = express();
    const lock = lockRoute({ locker, key: 'k', wait: 60_000, abortOnDisconnect: false });
    app.post('/', lock, (_req, res) => res.send('ok'));
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await until(() => waits(locker, 1));
    client.socket.destroy();
    await until(() => waits(locker, 0));
  });

  test('asks the store for nothing if it leaves while the key is looked up', async () => {
    const { locker, store } = testLocker();
    let asked = 0;
    const acquire = store.acquire.bind(store);
    store.acquire = (request) => {
      asked += 1;
      return acquire(request);
    };
    const looking = deferred();
    const found = deferred();
    let ran = false;
    const app = express();
    const key = async () => {
      looking.resolve();
      await found.promise;
      return 'k';
    };
    const gone = deferred();
    app.use((_req, res, next) => {
      res.on('close', () => gone.resolve());
      next();
    });
    app.post('/', lockRoute({ locker, key }), () => (ran = true));
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await looking.promise;
    client.socket.destroy();
    await gone.promise;
    found.resolve();
    await new Promise(setImmediate);
    expect([asked, ran]).toEqual([0, false]);
  });

  test('gets no service if it leaves before the lock is asked for', async () => {
    const { locker } = testLocker();
    const seen: string[] = [];
    const app = express();
    app.use((_req, res, next) => {
      seen.push('came');
      res.on('close', () => setImmediate(next));
    });
    app.use((_req, _res, next) => {
      seen.push('asks');
      next();
    });
    app.post('/', lockRoute({ locker, key: 'k' }), () => seen.push('ran'));
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await until(() => seen.includes('came'));
    client.socket.destroy();
    await until(() => seen.includes('asks'));
    await new Promise(setImmediate);
    expect(seen).toEqual(['came', 'asks']);
    expect(await isFree(locker)).toBe(true);
  });
});

describe('a response that ends while its request waits, as by a time-out', () => {
  test('cancels the wait', async () => {
    const { locker } = testLocker();
    await locker.lock('k');
    let ran = false;
    const app = express();
    const timeOut = deferred();
    app.use((_req, res, next) => {
      void timeOut.promise.then(() => res.sendStatus(503));
      next();
    });
    app.post('/', lockRoute({ locker, key: 'k', wait: 60_000 }), () => (ran = true));
    const { url } = await serve(app);
    const reply = post(url);
    await until(() => waits(locker, 1));
    timeOut.resolve();
    expect((await reply).status).toBe(503);
    await until(() => waits(locker, 0));
    expect(ran).toBe(false);
  });
});
