import { inspect } from 'node:util';
import {
  LockArgumentError,
  LockMissingError,
  LockReentryError,
  memoryStore,
  type Locker,
} from '@holdfast/core';
import { getLock, lockRoute, type LockRouteOptions } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { express, post, realLocker, serve } from './kit.ts';

/** Asks a site for `/`, and tells what reached its error handlers. */
async function ask(setUp: (app: express.Express) => void) {
  const app = express();
  const errors: (Error & { code?: string })[] = [];
  setUp(app);
  app.use(
    (error: Error, _req: express.Request, res: express.Response, next: express.NextFunction) => {
      errors.push(error);
      if (res.headersSent) next(error);
      else res.status((error as { status?: number }).status ?? 500).end();
    },
  );
  const { url } = await serve(app);
  const reply = await post(url);
  await reply.text().catch(() => {});
  return { status: reply.status, errors };
}

describe('a key function', () => {
  const answers: [string, unknown, RegExp][] = [
    ['nothing', undefined, /answered nothing.*body/s],
    ['an empty string', '', /answered an empty string/],
    ['a number', 7, /answered a number/],
    ['an empty list', [], /a list without keys/],
    ['a list with nothing in it', [undefined], /a list without keys or with empty ones/],
    ['a promise of nothing', Promise.resolve(), /answered nothing/],
  ];
  test.each(answers)(
    'fails the request when it answers %s, and the handler does not run',
    async (_, answer, hint) => {
      const locker = realLocker();
      let ran = false;
      const lock = lockRoute({ locker, key: () => answer as string });
      const { status, errors } = await ask((app) => app.post('/', lock, () => (ran = true)));
      expect(status).toBe(400);
      expect(errors).toMatchObject([{ code: 'LOCK_INVALID_ARGUMENT', expose: false }]);
      expect(errors[0]).toBeInstanceOf(LockArgumentError);
      expect(errors[0]?.message).toMatch(hint);
      expect(ran).toBe(false);
    },
  );

  test('hands its error on when it throws or rejects', async () => {
    const failure = new Error('no');
    for (const key of [
      () => {
        throw failure;
      },
      () => Promise.reject(failure),
    ]) {
      const lock = lockRoute({ locker: realLocker(), key });
      const { errors } = await ask((app) => app.post('/', lock, (_req, res) => res.send('ok')));
      expect(errors).toEqual([failure]);
    }
  });
});

describe('the same lock twice for one request', () => {
  const twice = (locker: Locker, options: Partial<LockRouteOptions>, form: string) =>
    ask((app) => {
      const outer = lockRoute({ locker, key: ['a', 'b'], ...options });
      const inner = lockRoute({ locker, key: 'b', ...options });
      const answer: express.RequestHandler = (_req, res) => res.send('ok');
      app.use(outer);
      app.post('/', form === 'handler' ? inner.handler(answer) : [inner, answer]);
    });

  test.each([
    ['middleware', 0],
    ['middleware', 60_000],
    ['handler', 0],
    ['handler', 60_000],
  ])('fails the request, in the %s form and with wait: %d', async (form, wait) => {
    const locker = realLocker();
    const { status, errors } = await twice(locker, { wait }, form);
    expect(status).toBe(500);
    expect(errors).toMatchObject([{ code: 'LOCK_REENTRY', key: 'b' }]);
    expect(errors[0]).toBeInstanceOf(LockReentryError);
    expect(errors[0]?.message).toMatch(/lockRoute before this one/);
    expect(await locker.inspect('a')).toBeNull();
  });

  test('passes with another key', async () => {
    const locker = realLocker();
    const { status, errors } = await ask((app) => {
      app.use(lockRoute({ locker, key: 'a' }), lockRoute({ locker, key: 'b' }));
      app.post('/', async (req, res) => {
        res.json([req.lock?.key, (await locker.inspect('a')) !== null]);
      });
    });
    expect([status, errors]).toEqual([200, []]);
    expect([await locker.inspect('a'), await locker.inspect('b')]).toEqual([null, null]);
  });

  test('passes with another locker on another store', async () => {
    const { status } = await ask((app) => {
      app.use(lockRoute({ locker: realLocker(), key: 'a' }));
      app.use(lockRoute({ locker: realLocker(), key: 'a' }));
      app.post('/', (_req, res) => res.send('ok'));
    });
    expect(status).toBe(200);
  });
});

test('a lock that is mounted after the answer says so', async () => {
  const locker = realLocker();
  const { errors } = await ask((app) => {
    app.use((_req, res, next) => {
      res.end('ok');
      next();
    });
    app.use(lockRoute({ locker, key: 'k' }));
  });
  expect(errors).toMatchObject([{ code: 'LOCK_INVALID_ARGUMENT' }]);
  expect(errors[0]?.message).toMatch(/handler\(fn\)/);
  expect(await locker.inspect('k')).toBeNull();
});

test('getLock tells of a request without a lock', async () => {
  const { errors } = await ask((app) => app.post('/', (req, res) => res.json(getLock(req).key)));
  expect(errors).toMatchObject([{ code: 'LOCK_MISSING' }]);
  expect(errors[0]).toBeInstanceOf(LockMissingError);
  const { errors: others } = await ask((app) => {
    app.use(lockRoute({ locker: realLocker(), key: 'outer' }));
    app.post('/', lockRoute({ locker: realLocker(), key: () => null }), (req, res) => {
      res.json(getLock(req).key);
    });
  });
  expect(others).toMatchObject([{ code: 'LOCK_MISSING' }]);
});

const badOptions: [string, Partial<LockRouteOptions>][] = [
  ['a ttl of 0', { ttl: () => 0 }],
  ['a ttl of NaN', { ttl: () => Number.NaN }],
  ['a negative wait', { wait: () => -1 }],
  ['a maxHold of 0', { maxHold: () => 0 }],
  ['an empty owner', { owner: async () => '' }],
];
test.each(badOptions)('%s that a request computed is a bad request', async (_name, options) => {
  const lock = lockRoute({ locker: realLocker(), key: 'secret:42', ...options });
  let shown = '';
  const { status, errors } = await ask((app) => {
    app.post('/', lock, (_req, res) => res.send('ok'));
    app.use((error: Error, _req: unknown, _res: unknown, next: express.NextFunction) => {
      shown = inspect(error);
      next(error);
    });
  });
  expect(status).toBe(400);
  expect(errors).toMatchObject([{ code: 'LOCK_INVALID_ARGUMENT', expose: false }]);
  expect(shown).not.toContain('secret');
});

test("Express's own error handler answers a bad key with 400 and no detail", async () => {
  const app = express();
  app.set('env', 'production');
  app.post('/', lockRoute({ locker: realLocker(), key: () => '' }), (_req, res) => res.send('ok'));
  const reply = await post((await serve(app)).url);
  expect(reply.status).toBe(400);
  expect(await reply.text()).toMatch(/<pre>Bad Request<\/pre>/);
});

test('an argument that no request computed is not the fault of its client', async () => {
  const lock = lockRoute({ locker: realLocker(memoryStore()), key: 'k', ttl: 1 });
  const { status, errors } = await ask((app) => app.post('/', lock, (_req, res) => res.send('ok')));
  expect(errors).toMatchObject([{ code: 'LOCK_INVALID_ARGUMENT' }]);
  expect(status).toBe(500);
});

describe('lockRoute refuses', () => {
  const locker = realLockerOnce();
  const bad: [string, object][] = [
    ['no options', undefined as never],
    ['null', null as never],
    ['no locker', { key: 'k' }],
    ['a locker that is none', { locker: {}, key: 'k' }],
    ['no key', { locker }],
    ['a key of null', { locker, key: null }],
    ['an empty key', { locker, key: '' }],
    ['an empty list', { locker, key: [] }],
    ['a list with an empty key', { locker, key: ['a', ''] }],
    ['a ttl of 0', { locker, key: 'k', ttl: 0 }],
    ['a ttl of null', { locker, key: 'k', ttl: null }],
    ['a negative wait', { locker, key: 'k', wait: -1 }],
    ['a wait of NaN', { locker, key: 'k', wait: Number.NaN }],
    ['a maxHold of 0', { locker, key: 'k', maxHold: 0 }],
    ['a maxHold of null', { locker, key: 'k', maxHold: null }],
    ['a negative holdAtLeast', { locker, key: 'k', holdAtLeast: -1 }],
    ['an empty owner', { locker, key: 'k', owner: '' }],
    ['a label that is no string', { locker, key: 'k', label: 7 }],
    ['a renew that is none', { locker, key: 'k', renew: 'yes' }],
    ['a reentry that is none', { locker, key: 'k', reentry: 'maybe' }],
    ['an onLost that is none', { locker, key: 'k', onLost: true }],
    ['a signal', { locker, key: 'k', signal: AbortSignal.timeout(1) }],
    ['a status that is none', { locker, key: 'k', statusCode: 42 }],
    ['a status of success', { locker, key: 'k', statusCode: 200 }],
    ['half a status', { locker, key: 'k', statusCode: 423.5 }],
    ['a retryAfter of 0', { locker, key: 'k', retryAfter: 0 }],
    ['an endless retryAfter', { locker, key: 'k', retryAfter: Infinity }],
    ['an onLocked that is none', { locker, key: 'k', onLocked: 'no' }],
    ['an onLocked of null', { locker, key: 'k', onLocked: null }],
    ['an onStoreError that is none', { locker, key: 'k', onStoreError: 'ignore' }],
    ['an abortOnDisconnect that is none', { locker, key: 'k', abortOnDisconnect: 1 }],
    ['a negative releaseTimeout', { locker, key: 'k', releaseTimeout: -1 }],
  ];
  test.each(bad)('%s', (_name, options) => {
    expect(() => lockRoute(options as never)).toThrow(LockArgumentError);
    expect(() => lockRoute(options as never)).toThrow(/lockRoute/);
  });

  test('a handler that is none', () => {
    const lock = lockRoute({ locker, key: 'k' });
    expect(() => lock.handler(undefined as never)).toThrow(LockArgumentError);
  });
});

function realLockerOnce(): Locker {
  return { lock: () => Promise.reject(new Error('never')) } as unknown as Locker;
}
