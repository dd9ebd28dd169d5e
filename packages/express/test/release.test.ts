// Every way in which a response comes to its end frees the lock.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import { describe, expect, test } from 'vitest';
import {
  deferred,
  express,
  MAJOR,
  post,
  rawClient,
  realLocker,
  serve,
  testLocker,
  until,
  type Site,
} from './kit.ts';

const TTL = 10_000;
const FILE = fileURLToPath(import.meta.url);
const failed: ErrorRequestHandler = (error, _req, res, _next) => {
  res.status(500).send((error as Error).message);
};

/** A site with a lock on all that it is asked, and what comes next. */
async function site(locker: Locker, setUp: (app: Express) => void): Promise<Site> {
  const app = express();
  app.use(lockRoute({ locker, key: 'k' }));
  setUp(app);
  app.use(failed);
  return serve(app);
}

const free = async (locker: Locker): Promise<boolean> => (await locker.inspect('k')) === null;

const handlers: Record<string, RequestHandler> = {
  send: (_req, res) => res.send('ok'),
  json: (_req, res) => res.json({ ok: true }),
  end: (_req, res) => res.end(),
  'no content': (_req, res) => res.sendStatus(204),
  'not modified': (_req, res) => res.status(304).end(),
  redirect: (_req, res) => res.redirect('/elsewhere'),
  sendFile: (_req, res) => res.sendFile(FILE),
  'a sync throw': () => {
    throw new Error('no');
  },
  'next(error)': (_req, _res, next) => next(new Error('no')),
  'next() to nowhere': (_req, _res, next) => next(),
  pipe: (_req, res) => Readable.from(['a', 'b']).pipe(res),
  pipeline: async (_req, res) => pipeline(Readable.from(['a', 'b']), res),
  'a stream with its length': (_req, res) => {
    res.set('Content-Length', '2');
    Readable.from(['a', 'b']).pipe(res);
  },
  later: (_req, res) => {
    setTimeout(() => res.send('ok'), 5);
  },
};

describe.each(Object.entries(handlers))('%s', (name, handler) => {
  // The end of a body with a length, or of none, may be seen before its release.
  const early = ['sendFile', 'a stream with its length'].includes(name);

  test('frees the lock before the client sees the end', async () => {
    const locker = realLocker();
    const { url } = await site(locker, (app) => app.use(handler));
    const reply = await fetch(url, { redirect: 'manual' });
    await reply.text();
    if (early) await until(() => free(locker));
    expect(await free(locker)).toBe(true);
  });

  test('frees it on HEAD', async () => {
    const locker = realLocker();
    const { url } = await site(locker, (app) => app.use(handler));
    await fetch(url, { method: 'HEAD', redirect: 'manual' });
    await until(() => free(locker));
  });

  test('frees it in the handler form', async () => {
    const locker = realLocker();
    const app = express();
    // Whatever it passes on to is part of its work.
    app.use(lockRoute({ locker, key: 'k' }).handler((req, res, next) => handler(req, res, next)));
    app.use(failed);
    const { url } = await serve(app);
    const reply = await fetch(url, { redirect: 'manual' });
    await reply.text();
    await until(() => free(locker));
  });
});

describe('a rejection', () => {
  test('frees the lock in the middleware form on Express 5; on Express 4 nobody answers', async () => {
    const { clock, locker } = testLocker({ ttl: TTL });
    const rejection = Promise.reject(new Error('no'));
    // Express 4 drops it.
    rejection.catch(() => {});
    let ran = false;
    const at = await site(locker, (app) =>
      app.use(() => {
        ran = true;
        return rejection;
      }),
    );
    const client = await rawClient(at);
    client.send('GET / HTTP/1.1', 'Host: x');
    await until(() => ran);
    await clock.advance(TTL * 3);
    const answers = MAJOR === 5;
    await until(() => client.received.startsWith('HTTP/1.1 500') === answers);
    expect(await free(locker)).toBe(answers);
    // Its client has enough of it, of which the server learns at some time.
    client.socket.destroy();
    for (let step = 0; !(await free(locker)); step++) {
      expect(step).toBeLessThan(1_000);
      await clock.advance(TTL / 10);
    }
  });

  test('reaches the error handlers in the handler form, on Express 4 too', async () => {
    const locker = realLocker();
    const app = express();
    app.post(
      '/',
      lockRoute({ locker, key: 'k' }).handler(async () => {
        await new Promise(setImmediate);
        throw new Error('no');
      }),
    );
    app.use(failed);
    const { url } = await serve(app);
    const reply = await post(url);
    expect([reply.status, await reply.text()]).toEqual([500, 'no']);
    expect(await free(locker)).toBe(true);
  });
});

describe('a response that is destroyed', () => {
  test.each(['the middleware form', 'the handler form'])('frees the lock in %s', async (form) => {
    const locker = realLocker();
    const app = express();
    const lock = lockRoute({ locker, key: 'k', ttl: 600_000 });
    const destroy: RequestHandler = (_req, res) => void res.destroy();
    if (form === 'the handler form') app.use(lock.handler(async (_req, res) => void res.destroy()));
    else app.use(lock, destroy);
    const { url } = await serve(app);
    await expect(fetch(url)).rejects.toThrow('fetch failed');
    await until(() => free(locker));
  });

  const destroys: Record<string, RequestHandler> = {
    'its response': (_req, res) => void res.destroy(),
    'its request': (req) => void req.destroy(),
    'its socket': (req) => void req.socket.destroy(),
  };
  test.each(Object.entries(destroys))(
    'frees the lock when a handler without a promise destroys %s',
    async (_what, destroy) => {
      const locker = realLocker();
      const app = express();
      const lock = lockRoute({ locker, key: 'k', ttl: 600_000 });
      app.use('/middleware', lock, destroy);
      app.use('/handler', lock.handler(destroy));
      const { url } = await serve(app);
      for (const form of ['middleware', 'handler']) {
        await expect(fetch(`${url}/${form}`)).rejects.toThrow('fetch failed');
        await until(() => free(locker));
      }
    },
  );

  test.each(['at once', 'later'])(
    'frees the lock in the middleware form after an error that comes %s after its headers',
    async (when) => {
      const locker = realLocker();
      const app = express();
      app.use(lockRoute({ locker, key: 'k', ttl: 600_000 }), (_req, res, next) => {
        res.write('some');
        if (when === 'at once') next(new Error('no'));
        else setImmediate(() => next(new Error('no')));
      });
      app.set('env', 'test');
      const { url } = await serve(app);
      await expect(fetch(url).then((reply) => reply.text())).rejects.toThrow(/terminated|failed/);
      await until(() => free(locker));
    },
  );

  test('frees the lock in the handler form after an error that comes after its headers', async () => {
    const locker = realLocker();
    const app = express();
    const lock = lockRoute({ locker, key: 'k', ttl: 600_000 });
    app.use(
      lock.handler(async (_req, res) => {
        res.write('some');
        await new Promise(setImmediate);
        throw new Error('no');
      }),
    );
    app.set('env', 'test');
    const { url } = await serve(app);
    await expect(fetch(url).then((reply) => reply.text())).rejects.toThrow('terminated');
    await until(() => free(locker));
  });
});

test('the OPTIONS that Express answers itself frees the lock of the whole site', async () => {
  const locker = realLocker();
  let acquired = 0;
  locker.on('acquired', () => (acquired += 1));
  const { url } = await site(locker, (app) => app.get('/', (_req, res) => void res.send('ok')));
  const reply = await fetch(url, { method: 'OPTIONS' });
  expect([reply.status, await reply.text()]).toEqual([200, reply.headers.get('Allow')]);
  expect([acquired, await free(locker)]).toEqual([1, true]);
});

test('a response that is ended behind another on its connection frees the lock at once', async () => {
  const locker = realLocker();
  const answer = deferred();
  const released = deferred();
  locker.on('released', () => released.resolve());
  const app = express();
  app.get('/slow', (_req, res) => void answer.promise.then(() => res.send('first')));
  app.get('/', lockRoute({ locker, key: 'k', ttl: 600_000 }), (_req, res) => res.send('second'));
  const client = await rawClient(await serve(app));
  client.send('GET /slow HTTP/1.1', 'Host: x');
  client.send('GET / HTTP/1.1', 'Host: x');
  await released.promise;
  expect(client.received).toBe('');
  answer.resolve();
  await until(() => client.received.endsWith('second'));
  expect(client.received.indexOf('first')).toBeGreaterThan(0);
});

test('one connection is used for request after request', async () => {
  const locker = realLocker();
  const at = await site(locker, (app) => app.use((_req, res) => void res.send('ok.')));
  const client = await rawClient(at);
  for (let count = 1; count <= 20; count++) {
    client.send('GET / HTTP/1.1', 'Host: x');
    await until(() => client.received.split('ok.').length > count);
  }
  expect(client.received).not.toContain('423');
  expect(client.received.match(/Keep-Alive: timeout/g)?.length).toBe(20);
});
