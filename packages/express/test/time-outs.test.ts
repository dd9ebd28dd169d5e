// Somebody else ends a response, and the handler still runs: nobody else may get in.
import { lockRoute } from '@holdfast/express';
import timeout from 'connect-timeout';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deferred, express, post, serve, testLocker, until } from './kit.ts';

const TTL = 10_000;

/** Answers after a time with 503, as an application's own middleware does. */
const answersItself: RequestHandler = (_req, res, next) => {
  const timer = setTimeout(() => {
    if (!res.headersSent) res.status(503).json({ code: 'TIMED_OUT' });
  }, 20);
  res.on('close', () => clearTimeout(timer));
  next();
};

/** Hands an error on, and what answers does something asynchronous before. */
const handsOn: RequestHandler = (_req, res, next) => {
  const timer = setTimeout(() => {
    void new Promise(setImmediate).then(() => next(Object.assign(new Error(), { status: 503 })));
  }, 20);
  res.on('close', () => clearTimeout(timer));
  next();
};

/** After something asynchronous, as a middleware that reads a session is. */
const afterAwaiting =
  (middleware: RequestHandler): RequestHandler =>
  (req, res, next) => {
    void new Promise(setImmediate).then(() => middleware(req, res, next));
  };

const timeOuts: Record<string, RequestHandler> = {
  'connect-timeout': timeout('20ms'),
  'a middleware that answers': answersItself,
  'a middleware that hands an error on': handsOn,
  'a middleware that answers, after an asynchronous one': afterAwaiting(answersItself),
  'the time-out of the response': (_req, res, next) => {
    res.setTimeout(20, () => res.status(503).json({ code: 'TIMED_OUT' }));
    next();
  },
  'the time-out of the request, which destroys the response': (req, res, next) => {
    req.setTimeout(20, () => res.destroy());
    next();
  },
};

const answerErrors = async (
  error: { status?: number },
  _req: Request,
  res: Response,
  next: NextFunction,
): Promise<void> => {
  await new Promise(setImmediate);
  if (res.headersSent) next(error);
  else res.status(error.status ?? 500).json({ code: 'FAILED' });
};

/** A site whose handler runs until the test lets it go on. */
async function running(
  place: 'before' | 'after',
  timeOut: RequestHandler,
  handle: (goOn: Promise<void>, req: Request, res: Response, next: NextFunction) => unknown,
) {
  const { clock, locker } = testLocker({ ttl: TTL });
  const goOn = deferred();
  const seen: { signal?: AbortSignal | undefined; runs: number } = { runs: 0 };
  const app = express();
  app.set('env', 'test');
  const lock = lockRoute({ locker, key: 'k' });
  app.post('/', ...(place === 'before' ? [timeOut, lock] : [lock, timeOut]), (req, res, next) => {
    seen.runs += 1;
    seen.signal = req.lock?.signal;
    return handle(goOn.promise, req, res, next);
  });
  app.post('/next', lock, (_req, res) => res.send('next'));
  app.use(answerErrors);
  const { url } = await serve(app);
  const isFree = async () => (await locker.inspect('k')) === null;
  const next = async () => (await post(`${url}/next`)).status;
  return { clock, url, seen, goOn: () => goOn.resolve(), isFree, next };
}

describe.each(Object.entries(timeOuts))('with %s', (name, timeOut) => {
  // A middleware of the application's own that is mounted after the lock is part of the work under it.
  const places = /middleware/.test(name) ? (['before'] as const) : (['before', 'after'] as const);

  test.each(places)(
    '%s the lock, a time-out keeps others out until the handler ends the response too',
    async (place) => {
      const { url, seen, goOn, isFree, next } = await running(
        place,
        timeOut,
        async (go, _, res) => {
          await go;
          res.end('late');
        },
      );
      const status = await post(url).then(
        (reply) => reply.status,
        () => 'none',
      );
      expect(status).toBe(name.includes('destroys') ? 'none' : 503);
      await until(() => seen.signal?.aborted === true);
      expect(seen.signal?.reason).toMatchObject({ code: 'LOCK_ABORTED' });
      expect(await next()).toBe(423);
      goOn();
      await until(isFree);
      expect(await next()).toBe(200);
    },
  );

  test.each(places)(
    '%s the lock, a time-out frees it with the ttl at the latest',
    async (place) => {
      const { clock, url, seen, isFree, next } = await running(place, timeOut, () => {});
      await post(url).catch(() => undefined);
      await until(() => seen.signal?.aborted === true);
      expect(await next()).toBe(423);
      await clock.advance(TTL);
      expect(await isFree()).toBe(true);
    },
  );
});

const goesOn: Record<string, Parameters<typeof running>[2]> = {
  'throws for its signal': async (go, _req, _res, next) => {
    await go;
    next(new Error('aborted'));
  },
  'answers too late': async (go, _req, res, next) => {
    await go;
    try {
      res.json({ ok: true });
    } catch (error) {
      next(error);
    }
  },
};

test.each(Object.entries(goesOn))(
  'after a time-out, a handler that %s has come to its end',
  async (_name, handle) => {
    const { url, goOn, isFree } = await running('before', answersItself, handle);
    expect((await post(url)).status).toBe(503);
    expect(await isFree()).toBe(false);
    goOn();
    await until(isFree);
  },
);

test('.handler keeps the lock until its promise has settled, whoever answered', async () => {
  const { clock, locker } = testLocker({ ttl: TTL });
  const goOn = deferred();
  let signal: AbortSignal | undefined;
  const app = express();
  const lock = lockRoute({ locker, key: 'k' });
  app.post(
    '/',
    answersItself,
    lock.handler(async (req) => {
      ({ signal } = req.lock);
      await goOn.promise;
    }),
  );
  const { url } = await serve(app);
  expect((await post(url)).status).toBe(503);
  await until(() => signal?.aborted === true);
  await clock.advance(TTL * 3);
  expect(await locker.inspect('k')).not.toBeNull();
  goOn.resolve();
  await until(async () => (await locker.inspect('k')) === null);
});

test('a response that is ended beside its handler is told once', async () => {
  const { locker } = testLocker({ ttl: TTL });
  const warnings: string[] = [];
  locker.on('warning', ({ code }) => warnings.push(code));
  const app = express();
  app.post('/', answersItself, lockRoute({ locker, key: 'k', wait: 5_000 }), (req, res) => {
    req.lock?.signal.addEventListener('abort', () => res.end());
  });
  const { url } = await serve(app);
  for (let request = 0; request < 2; request++) expect((await post(url)).status).toBe(503);
  expect(warnings).toEqual(['HOLDFAST_ENDED_BESIDE']);
});

describe('a response that is ended', () => {
  const site = async () => {
    const { locker } = testLocker({ ttl: TTL });
    const app = express();
    const inside: [Request, Response][] = [];
    app.post('/', lockRoute({ locker, key: 'k' }), (req, res) => void inside.push([req, res]));
    app.post('/other', (_req, res) => {
      inside.shift()?.[1].end('from elsewhere');
      res.end();
    });
    const { url } = await serve(app);
    return { locker, url, inside };
  };

  test('frees the lock when code of which nothing is known ends it', async () => {
    const { locker, url, inside } = await site();
    const reply = post(url);
    await until(() => inside.length > 0);
    inside[0]?.[1].end('from the test');
    expect(await (await reply).text()).toBe('from the test');
    expect(await locker.inspect('k')).toBeNull();
  });

  test('frees the lock when another request ends it', async () => {
    const { locker, url, inside } = await site();
    const reply = post(url);
    await until(() => inside.length > 0);
    await post(`${url}/other`);
    expect(await (await reply).text()).toBe('from elsewhere');
    expect(await locker.inspect('k')).toBeNull();
  });
});

test('a body parser that loses the context of its caller does not lose the lock', async () => {
  const { locker } = testLocker({ ttl: TTL });
  const app = express();
  const parser: RequestHandler = (req, _res, next) => {
    req.on('data', () => {});
    req.on('end', () => next());
  };
  app.post('/', lockRoute({ locker, key: 'k' }), parser, (_req, res) => res.send('ok'));
  const { url } = await serve(app);
  const warnings: string[] = [];
  onTestFinished(locker.on('warning', ({ code }) => warnings.push(code)));
  expect(await (await post(url, { body: 'x'.repeat(200_000) })).text()).toBe('ok');
  expect(await locker.inspect('k')).toBeNull();
  expect(warnings.filter((code) => code === 'HOLDFAST_ENDED_BESIDE')).toEqual([]);
});
