import { lockRoute, type LockRouteOptions } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { deferred, express, post, rawClient, serve, testLocker, until } from './kit.ts';

/** A site on a store that is away. */
async function site(options: Partial<LockRouteOptions> = {}) {
  const { clock, store, locker } = testLocker();
  store.fail({ verb: 'acquire', times: Infinity });
  const bypassed: unknown[] = [];
  locker.on('bypassed', (payload) => bypassed.push(payload));
  const errors: { code?: string }[] = [];
  let runs = 0;
  const left = deferred();
  const app = express();
  app.use((_req, res, next) => {
    res.on('close', () => left.resolve());
    next();
  });
  const lock = lockRoute({ locker, key: ['k', 'l'], ...options });
  const answer: express.RequestHandler = (req, res) => {
    runs += 1;
    res.json({ locked: req.lock !== undefined });
  };
  app.post('/', lock, answer);
  app.post('/h', lock.handler(answer));
  app.post(
    '/rejecting',
    lock.handler(async () => {
      throw Object.assign(new Error('no'), { status: 418 });
    }),
  );
  app.use(
    (error: object, _req: express.Request, _res: express.Response, next: express.NextFunction) => {
      errors.push(error);
      next(error);
    },
  );
  app.set('env', 'test');
  const at = await serve(app);
  return { ...at, clock, store, locker, bypassed, errors, runs: () => runs, left: left.promise };
}

describe('a store that fails', () => {
  test.each(['/', '/h'])('makes %s answer 503, through the error handlers', async (path) => {
    const { url, errors, runs, bypassed } = await site();
    const reply = await post(url + path);
    expect([reply.status, reply.headers.get('Retry-After')]).toEqual([503, '1']);
    expect(errors).toMatchObject([{ code: 'LOCK_STORE_UNAVAILABLE', phase: 'acquire' }]);
    expect([runs(), bypassed]).toEqual([0, []]);
  });

  test.each(['/', '/h'])('lets %s pass with onStoreError: allow, which is told', async (path) => {
    const { url, errors, bypassed } = await site({ onStoreError: 'allow' });
    const reply = await post(url + path);
    expect(await reply.json()).toEqual({ locked: false });
    expect(errors).toEqual([]);
    expect(bypassed).toMatchObject([
      {
        locker: 'default',
        store: 'memory',
        key: 'k',
        keys: ['k', 'l'],
        error: { code: 'LOCK_STORE_UNAVAILABLE' },
      },
    ]);
  });

  test('lets pass, and what a handler rejects with still reaches the error handlers', async () => {
    const { url, errors } = await site({ onStoreError: 'allow' });
    expect((await post(`${url}/rejecting`)).status).toBe(418);
    expect(errors).toHaveLength(1);
  });

  test('does not turn a busy lock into a pass', async () => {
    const { url, store, locker, runs } = await site({ onStoreError: 'allow' });
    store.heal();
    await locker.lock('l');
    expect((await post(url)).status).toBe(423);
    expect(runs()).toBe(0);
  });

  test('retries within the limit of the wait', async () => {
    const { url, store, clock, errors } = await site({ wait: 5_000 });
    const reply = post(url);
    await until(() => clock.timers > 0);
    store.heal();
    for (let step = 0; step < 50; step++) await clock.advance(100);
    expect((await reply).status).toBe(200);
    expect(errors).toEqual([]);
  });

  test('answers after storeTimeout when the store does not', async () => {
    const { url, store, clock } = await site();
    store.heal();
    store.dropRequest({ verb: 'acquire', times: Infinity });
    const reply = post(url);
    await until(() => clock.timers > 0);
    await clock.advance(2_000);
    expect((await reply).status).toBe(503);
  });

  test('troubles nobody after the client has left', async () => {
    const { port, store, clock, errors, runs, left } = await site({ onStoreError: 'allow' });
    store.heal();
    store.dropRequest({ verb: 'acquire', times: Infinity });
    const client = await rawClient({ port });
    client.send('POST / HTTP/1.1', 'Host: x', 'Content-Length: 0');
    await until(() => clock.timers > 0);
    client.socket.destroy();
    await left;
    await clock.advance(10_000);
    expect([errors, runs()]).toEqual([[], 0]);
  });
});

test('a locker that is closed answers 503, to those that wait too', async () => {
  const { locker } = testLocker();
  await locker.lock('k');
  const app = express();
  app.post('/', lockRoute({ locker, key: 'k', wait: 60_000, onStoreError: 'allow' }), () => {});
  app.set('env', 'test');
  const { url } = await serve(app);
  const waiting = post(url);
  await until(async () => (await locker.inspect('k'))?.waiters === 1);
  await locker.close();
  expect((await waiting).status).toBe(503);
  const after = await post(url);
  expect([after.status, after.headers.get('Retry-After')]).toEqual([503, '1']);
});

test('a lock that is lost while its handler runs tells it, and the response goes out', async () => {
  const { clock, store, locker } = testLocker();
  const inside = deferred<AbortSignal>();
  const app = express();
  app.post('/', lockRoute({ locker, key: 'k' }), async (req, res) => {
    const signal = req.lock?.signal as AbortSignal;
    inside.resolve(signal);
    await new Promise((lost) => signal.addEventListener('abort', lost));
    res.json((signal.reason as { reason?: string }).reason);
  });
  const { url } = await serve(app);
  const reply = post(url);
  await inside.promise;
  await store.steal('k');
  await clock.advance(4_000);
  expect(await (await reply).json()).toBe('stolen');
  // The thief's.
  expect((await locker.inspect('k'))?.label).toBe('thief');
});
