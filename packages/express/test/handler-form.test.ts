// `.handler(fn)`: held until `fn` and the response are both done.
import { currentLock, type Lock } from '@holdfast/core';
import { lockRoute, type StrictLockRouteOptions } from '@holdfast/express';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  deferred,
  express,
  post,
  rawClient,
  realLocker,
  serve,
  tardyStore,
  testLocker,
  until,
} from './kit.ts';

const POST = ['POST / HTTP/1.1', 'Host: x', 'Content-Length: 0'];
const TTL = 10_000;
type Handle = (
  req: express.Request & { lock: Lock },
  res: express.Response,
  next: express.NextFunction,
) => unknown;

/** A site with one handler under the lock `k`; `/next` asks for the same lock. */
async function site(handle: Handle, options: Partial<StrictLockRouteOptions> = {}) {
  const { clock, locker } = testLocker({ ttl: TTL });
  const app = express();
  const lock = lockRoute({ locker, key: 'k', ...options });
  app.post('/', lock.handler(handle));
  app.post('/next', lock, (_req, res) => res.send('next'));
  const at = await serve(app);
  const isFree = async () => (await locker.inspect('k')) === null;
  return { ...at, clock, locker, isFree, next: async () => (await post(`${at.url}/next`)).status };
}

describe('a handler with a promise', () => {
  test('holds the lock while it works on after its answer', async () => {
    const done = deferred();
    const { url, next, isFree } = await site(async (_req, res) => {
      res.json({ accepted: true });
      await done.promise;
    });
    // The answer does not wait for that work.
    expect(await (await post(url)).json()).toEqual({ accepted: true });
    expect(await next()).toBe(423);
    done.resolve();
    await until(isFree);
    expect(await next()).toBe(200);
  });

  test('frees it before the client sees the end, if it is done with its answer', async () => {
    const { url, isFree } = await site(async (_req, res) => {
      await new Promise(setImmediate);
      res.send('ok');
    });
    expect((await post(url)).status).toBe(200);
    expect(await isFree()).toBe(true);
  });

  test('and a slow store: the end waits for the release', async () => {
    const { store, releasing, confirm } = tardyStore();
    const locker = realLocker(store);
    const app = express();
    const lock = lockRoute({ locker, key: 'k', releaseTimeout: 60_000 });
    app.get('/ping', (_req, res) => res.send('pong'));
    app.post(
      '/',
      lock.handler(async (_req, res) => res.send('ok')),
    );
    const at = await serve(app);
    const client = await rawClient(at);
    client.send(...POST);
    await releasing;
    await (await fetch(`${at.url}/ping`)).text();
    expect(client.received).toBe('');
    confirm();
    await until(() => client.received.endsWith('ok'));
  });

  test('that waits for its response to be finished gets there', async () => {
    const { url, isFree } = await site(async (_req, res) => {
      await new Promise<void>((finished) => {
        res.end('ok', finished);
      });
    });
    expect(await (await post(url)).text()).toBe('ok');
    await until(isFree);
  });

  test('that awaits a pipeline into its response gets there', async () => {
    const { url, isFree } = await site((_req, res) => pipeline(Readable.from(['o', 'k']), res));
    expect(await (await post(url)).text()).toBe('ok');
    await until(isFree);
  });

  test('that is done before its response holds the lock until that is too', async () => {
    const answer = deferred();
    const { url, next, isFree } = await site(async (_req, res) => {
      void answer.promise.then(() => res.send('ok'));
    });
    const reply = post(url);
    await until(async () => !(await isFree()));
    expect(await next()).toBe(423);
    answer.resolve();
    expect((await reply).status).toBe(200);
    expect(await isFree()).toBe(true);
  });

  test('whose client leaves: the signal tells, the lock is renewed until it is done', async () => {
    const inside = deferred<AbortSignal>();
    const done = deferred();
    const at = await site(async (req) => {
      inside.resolve(req.lock.signal);
      await done.promise;
    });
    const client = await rawClient(at);
    client.send(...POST);
    const signal = await inside.promise;
    client.socket.destroy();
    await until(() => signal.aborted);
    expect(signal.reason).toMatchObject({ code: 'LOCK_ABORTED', key: 'k' });
    await at.clock.advance(TTL * 5);
    expect(await at.next()).toBe(423);
    done.resolve();
    await until(at.isFree);
  });

  test('whose client leaves, with maxHold: it is lost then', async () => {
    const inside = deferred<Lock>();
    const at = await site(
      async (req) => {
        inside.resolve(req.lock);
        await deferred().promise;
      },
      { maxHold: TTL * 2 },
    );
    const client = await rawClient(at);
    client.send(...POST);
    const lock = await inside.promise;
    client.socket.destroy();
    await until(() => lock.signal.aborted);
    await at.clock.advance(TTL * 2);
    expect(lock.state).toBe('lost');
    await at.clock.advance(TTL);
    expect(await at.next()).toBe(200);
  });

  test('with abortOnDisconnect: false, is not told of its client', async () => {
    const inside = deferred<Lock>();
    const done = deferred();
    const at = await site(
      async (req) => {
        inside.resolve(req.lock);
        await done.promise;
      },
      { abortOnDisconnect: false },
    );
    const client = await rawClient(at);
    client.send(...POST);
    const lock = await inside.promise;
    client.socket.destroy();
    await at.clock.advance(TTL * 5);
    expect([lock.signal.aborted, lock.state]).toEqual([false, 'held']);
    done.resolve();
    await until(at.isFree);
  });

  test('is told when its lock is lost', async () => {
    const inside = deferred<Lock>();
    const done = deferred();
    const at = await site(async (req, res) => {
      inside.resolve(req.lock);
      await done.promise;
      res.send(req.lock.state);
    });
    const reply = post(at.url);
    const lock = await inside.promise;
    await at.locker.forceRelease('k');
    await until(() => lock.signal.aborted);
    expect(lock.signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'forced' });
    done.resolve();
    expect(await (await reply).text()).toBe('lost');
  });

  test('runs in the context of its lock', async () => {
    const seen: unknown[] = [];
    const { url } = await site(async (req, res) => {
      await new Promise(setImmediate);
      seen.push(currentLock() === req.lock, req.lock.fencingToken > 0);
      res.send('ok');
    });
    await post(url);
    expect(seen).toEqual([true, true]);
  });

  test('keeps its lock while its locker closes, until it is done', async () => {
    const inside = deferred();
    const done = deferred();
    const at = await site(async (_req, res) => {
      inside.resolve();
      await done.promise;
      res.send('ok');
    });
    const reply = post(at.url);
    await inside.promise;
    const events: string[] = [];
    at.locker.on('released', () => events.push('released'));
    at.locker.on('lost', ({ reason }) => events.push(reason));
    await at.locker.close();
    expect(events).toEqual(['closed']);
    done.resolve();
    expect((await reply).status).toBe(200);
  });

  test('may pass on to what comes next, and that is under the lock too', async () => {
    const { locker } = testLocker();
    const app = express();
    const seen: unknown[] = [];
    const lock = lockRoute({ locker, key: 'k' });
    app.post(
      '/',
      lock.handler(async (_req, _res, next) => next()),
      async (req, res) => {
        seen.push(req.lock?.state, (await locker.inspect('k')) !== null);
        res.send('ok');
      },
    );
    const { url } = await serve(app);
    expect((await post(url)).status).toBe(200);
    expect(seen).toEqual(['held', true]);
    expect(await locker.inspect('k')).toBeNull();
  });

  test('sends files, redirects and destroys', async () => {
    const FILE = fileURLToPath(import.meta.url);
    for (const handle of [
      async (_req, res) => res.sendFile(FILE),
      async (_req, res) => res.redirect('/'),
      async (_req, res) => res.destroy(),
    ] satisfies Handle[]) {
      const { url, isFree } = await site(handle);
      await post(url, { redirect: 'manual' })
        .then((reply) => reply.text())
        .catch(() => {});
      await until(isFree);
    }
  });

  test('runs after the response was answered, too', async () => {
    const { locker } = testLocker();
    const app = express();
    const done = deferred();
    const lock = lockRoute({ locker, key: 'k' });
    app.post(
      '/',
      (_req, res, next) => {
        res.send('ok');
        next();
      },
      lock.handler(() => done.promise),
    );
    const { url } = await serve(app);
    expect((await post(url)).status).toBe(200);
    await until(async () => (await locker.inspect('k')) !== null);
    done.resolve();
    await until(async () => (await locker.inspect('k')) === null);
  });
});

describe('a rejection of a handler', () => {
  test('without a reason is an error all the same', async () => {
    const { locker } = testLocker();
    const app = express();
    const errors: unknown[] = [];
    app.post(
      '/',
      lockRoute({ locker, key: 'k' }).handler(() => Promise.reject()),
    );
    app.use(
      (
        error: unknown,
        _req: express.Request,
        res: express.Response,
        _next: express.NextFunction,
      ) => {
        errors.push(error);
        res.sendStatus(500);
      },
    );
    const { url } = await serve(app);
    expect((await post(url)).status).toBe(500);
    expect(errors).toEqual([expect.any(Error)]);
  });

  test('is the very error that the error handlers get', async () => {
    const { locker } = testLocker();
    const app = express();
    const errors: unknown[] = [];
    const [thrown, rejected] = [new Error('thrown'), new Error('rejected')];
    const lock = lockRoute({ locker, key: 'k' });
    app.post(
      '/thrown',
      lock.handler(() => {
        throw thrown;
      }),
    );
    app.post(
      '/rejected',
      lock.handler(async () => Promise.reject(rejected)),
    );
    app.use(
      (
        error: unknown,
        _req: express.Request,
        res: express.Response,
        _next: express.NextFunction,
      ) => {
        errors.push(error);
        res.sendStatus(500);
      },
    );
    const { url } = await serve(app);
    for (const way of ['thrown', 'rejected'])
      expect((await post(`${url}/${way}`)).status).toBe(500);
    expect(errors[0]).toBe(thrown);
    expect(errors[1]).toBe(rejected);
    expect(await locker.inspect('k')).toBeNull();
  });
});

describe('a callback-style handler', () => {
  test('keeps others out until it ends its response, also if its client leaves', async () => {
    const inside = deferred<AbortSignal>();
    const goOn = deferred();
    const at = await site((req, res) => {
      inside.resolve(req.lock.signal);
      void goOn.promise.then(() => res.send('ok'));
    });
    const client = await rawClient(at);
    client.send(...POST);
    const signal = await inside.promise;
    client.socket.destroy();
    await until(() => signal.aborted);
    expect(signal.reason).toMatchObject({ code: 'LOCK_ABORTED' });
    expect(await at.next()).toBe(423);
    goOn.resolve();
    await until(at.isFree);
    expect(await at.next()).toBe(200);
  });

  test('that never ends, and whose client leaves, holds for the ttl at most', async () => {
    const inside = deferred<AbortSignal>();
    const at = await site((req) => inside.resolve(req.lock.signal));
    const client = await rawClient(at);
    client.send(...POST);
    const signal = await inside.promise;
    await at.clock.advance(TTL * 3);
    expect(await at.next()).toBe(423);
    client.socket.destroy();
    await until(() => signal.aborted);
    await at.clock.advance(TTL);
    expect(await at.next()).toBe(200);
  });
});
