// The options of a lock, given to a route.
import { inspect } from 'node:util';
import { createLocker, type Locker, type LockOptions } from '@holdfast/core';
import { lockRoute, type LockRouteOptions } from '@holdfast/express';
import type { Response } from 'express';
import { describe, expect, test } from 'vitest';
import { deferred, express, post, rawClient, realLocker, serve, testLocker, until } from './kit.ts';

const TTL = 10_000;
const ok = (_req: unknown, res: Response): void => void res.send('ok');

describe('reentry: join', () => {
  test.each(['middleware', 'handler'])(
    'uses the lock of an outer route, in the %s form',
    async (form) => {
      const { locker } = testLocker();
      const app = express();
      const outer = lockRoute({ locker, key: ['a', 'b'] });
      const inner = lockRoute({ locker, key: 'b', reentry: 'join' });
      const handler = async (req: express.Request, res: Response): Promise<void> => {
        res.json([req.lock?.key, (await locker.inspect('b')) !== null]);
      };
      app.use(outer);
      app.post('/', form === 'handler' ? inner.handler(handler) : [inner, handler]);
      const reply = await post((await serve(app)).url);
      expect([reply.status, await reply.json()]).toEqual([200, ['b', true]]);
      expect([await locker.inspect('a'), await locker.inspect('b')]).toEqual([null, null]);
    },
  );

  test('waits like anyone else where there is no outer lock', async () => {
    const { locker } = testLocker();
    const app = express();
    app.post('/', lockRoute({ locker, key: 'k', reentry: 'join' }), ok);
    const { url } = await serve(app);
    expect((await post(url)).status).toBe(200);
    const held = await locker.lock('k');
    expect((await post(url)).status).toBe(423);
    await held.release();
  });
});

test('holdAtLeast keeps the key for so long after the grant, and the answer is not delayed', async () => {
  const { clock, locker } = testLocker({ ttl: TTL });
  const app = express();
  app.post('/', lockRoute({ locker, key: 'k', holdAtLeast: 5_000 }), ok);
  const { url } = await serve(app);
  expect((await post(url)).status).toBe(200);
  expect((await post(url)).status).toBe(423);
  await clock.advance(5_000);
  expect((await post(url)).status).toBe(200);
});

describe('maxHold', () => {
  const holding = async (locker: Locker, options: Partial<LockRouteOptions> = {}) => {
    const inside = deferred<AbortSignal>();
    const app = express();
    const lock = lockRoute({ locker, key: 'k', ...options } as LockRouteOptions);
    app.post(
      '/',
      lock.handler((req) => {
        inside.resolve(req.lock?.signal as AbortSignal);
        return new Promise(() => {});
      }),
    );
    const client = await rawClient(await serve(app));
    client.send('POST / HTTP/1.1', 'Host: x', 'Content-Length: 0');
    return inside.promise;
  };
  const cases: [string, number | undefined, number | undefined, number][] = [
    ['is 5 minutes', undefined, undefined, 300_000],
    ['is that of the locker, if it is shorter', 60_000, undefined, 60_000],
    ['is 5 minutes, if that of the locker is longer', 900_000, undefined, 300_000],
    ['is what the route says', 60_000, 600_000, 600_000],
  ];
  test.each(cases)('%s', async (_name, ofLocker, ofRoute, expected) => {
    const { clock, locker } = testLocker({ ttl: TTL, maxHold: ofLocker });
    const signal = await holding(locker, { maxHold: ofRoute });
    await clock.advance(expected - 1_000);
    expect(signal.aborted).toBe(false);
    await clock.advance(2_000);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'max-hold' });
  });

  test('may be a function of the request', async () => {
    const { clock, locker } = testLocker({ ttl: TTL });
    const signal = await holding(locker, { maxHold: async () => 30_000 });
    await clock.advance(31_000);
    expect(signal.reason).toMatchObject({ reason: 'max-hold' });
  });
});

/** A locker that notes what it is asked for; and gives that, or what `given` says. */
function recordingLocker(given?: LockOptions) {
  const asked: LockOptions[] = [];
  const real = createLocker();
  const locker: Locker = {
    ...real,
    lock: (key: string, options: LockOptions) => {
      asked.push(options);
      return real.lock(key, given ?? options);
    },
  };
  return { real, locker, asked };
}

test('a function that returns undefined leaves the default of the route, not that of the locker', async () => {
  const { real, locker, asked } = recordingLocker();
  const app = express();
  const none = (): undefined => undefined;
  app.post('/', lockRoute({ locker, key: 'k', wait: none, maxHold: async () => none() }), ok);
  expect((await post((await serve(app)).url)).status).toBe(200);
  expect(asked).toMatchObject([{ wait: 0, maxHold: 300_000 }]);
  await real.close();
});

test('every option of a lock reaches the locker, also one that this package does not know', async () => {
  // Its own locker would refuse what it does not know.
  const { real, locker, asked } = recordingLocker({ wait: 0 });
  const app = express();
  const onLost = (): void => {};
  const later = { limit: 3, weight: () => 2 } as object;
  app.post(
    '/',
    lockRoute({
      locker,
      key: 'k',
      owner: (req) => `owner of ${req.path}`,
      renew: false,
      reentry: 'ignore',
      holdAtLeast: 5,
      onLost,
      ...later,
    }),
    ok,
  );
  expect((await post((await serve(app)).url)).status).toBe(200);
  expect(asked).toMatchObject([
    { owner: 'owner of /', renew: false, reentry: 'ignore', holdAtLeast: 5, limit: 3, weight: 2 },
  ]);
  expect(asked[0]?.onLost).toBe(onLost);
  await real.close();
});

test('an owner takes its own lock over, and the request before it learns of it', async () => {
  const { locker } = testLocker();
  const signals: AbortSignal[] = [];
  const app = express();
  const lock = lockRoute({ locker, key: 'k', owner: (req) => String(req.headers['x-attempt']) });
  app.post('/', lock, (req, res) => {
    signals.push(req.lock?.signal as AbortSignal);
    if (signals.length === 2) res.send('second');
    else req.lock?.signal.addEventListener('abort', () => res.send('first'));
  });
  const { url } = await serve(app);
  const headers = { 'x-attempt': 'payment-7' };
  const first = post(url, { headers });
  await until(() => signals.length === 1);
  expect(await (await post(url, { headers })).text()).toBe('second');
  expect(await (await first).text()).toBe('first');
  expect(signals[0]?.reason).toMatchObject({ reason: 'superseded' });
});

test('an error that carries a status, headers and a code of its own reaches the client with them', async () => {
  const full = Object.assign(new Error('Too many wait.'), {
    code: 'LOCK_QUEUE_FULL',
    status: 503,
    statusCode: 503,
    headers: { 'Retry-After': '1' },
    key: 'secret',
  });
  const locker = { lock: () => Promise.reject(full) } as unknown as Locker;
  const app = express();
  app.set('env', 'production');
  const errors: unknown[] = [];
  app.post('/', lockRoute({ locker, key: 'k' }), ok);
  app.use((error: Error, _req: unknown, _res: unknown, next: express.NextFunction) => {
    errors.push(error);
    next(error);
  });
  const reply = await post((await serve(app)).url);
  expect([reply.status, reply.headers.get('Retry-After')]).toEqual([503, '1']);
  expect(errors).toEqual([full]);
  expect(await reply.text()).not.toContain('secret');
});

describe('a body that is still arriving when its request gets the lock', () => {
  const site = async (...before: express.RequestHandler[]) => {
    const locker = realLocker();
    const warnings: string[] = [];
    locker.on('warning', ({ code }) => warnings.push(code));
    const app = express();
    app.post('/', ...before, lockRoute({ locker, key: 'k', wait: 5_000 }), express.json(), ok);
    return { at: await serve(app), locker, warnings };
  };
  const slow = [
    'POST / HTTP/1.1',
    'Host: x',
    'Content-Type: application/json',
    'Content-Length: 2',
  ];

  test('warns of a body that is still arriving once', async () => {
    const { at, locker, warnings } = await site();
    for (let request = 1; request <= 2; request++) {
      const client = await rawClient(at);
      client.send(...slow);
      await until(async () => (await locker.inspect('k')) !== null);
      client.socket.write('{}');
      await until(() => client.received.endsWith('ok'));
    }
    expect(warnings).toEqual(['HOLDFAST_BODY_PENDING']);
  });

  test('does not warn when the parser comes first, or of a request without a body', async () => {
    const { at, warnings } = await site(express.json());
    const client = await rawClient(at);
    client.send(...slow);
    client.socket.write('{}');
    await until(() => client.received.endsWith('ok'));
    const { at: other, warnings: others } = await site();
    expect((await post(other.url)).status).toBe(200);
    expect((await post(other.url, { body: '' })).status).toBe(200);
    expect([warnings, others]).toEqual([[], []]);
  });
});

test('no error of a route prints its key by itself', async () => {
  const { locker } = testLocker();
  await locker.lock('secret:42');
  const app = express();
  const errors: unknown[] = [];
  app.post(
    '/',
    lockRoute({
      locker,
      key: 'secret:42',
      onLocked: (_req, _res, next, error) => {
        errors.push(error);
        next(error);
      },
    }),
    ok,
  );
  const reply = await post((await serve(app)).url);
  expect(reply.status).toBe(423);
  expect(await reply.text()).not.toContain('secret');
  expect(errors).toMatchObject([{ key: 'secret:42' }]);
  for (const error of errors) {
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(inspect(error)).not.toContain('secret');
  }
});
