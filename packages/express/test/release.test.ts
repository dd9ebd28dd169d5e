// Every way in which a response comes to its end frees the lock.
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import compression from 'compression';
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
  until,
  type Site,
} from './kit.ts';

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
  test.runIf(MAJOR === 5)('of a handler frees the lock, on Express 5', async () => {
    const locker = realLocker();
    const { url } = await site(locker, (app) => app.use(() => Promise.reject(new Error('no'))));
    expect((await post(url)).status).toBe(500);
    expect(await free(locker)).toBe(true);
  });

  test('in the handler form reaches the error handlers, on Express 4 too', async () => {
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

  test('by an error after its headers, frees the lock in the handler form', async () => {
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

describe('compression', () => {
  const text = 'hello '.repeat(10_000);
  const accept = { headers: { 'Accept-Encoding': 'gzip' } };

  test.each(['before', 'after'])('%s the lock works, and the lock too', async (place) => {
    const locker = realLocker();
    const app = express();
    if (place === 'before') app.use(compression());
    app.use(lockRoute({ locker, key: 'k' }));
    if (place === 'after') app.use(compression());
    app.get('/send', (_req, res) => res.send(text));
    app.get('/end', (_req, res) => res.type('text').end(text));
    app.get('/small', (_req, res) => res.type('text').end('small'));
    app.get('/stream', (_req, res) => {
      Readable.from([text, text]).pipe(res.type('text'));
    });
    app.get('/flush', (_req, res) => {
      res.type('text').write('one ');
      res.flush();
      res.end('two');
    });
    const { url } = await serve(app);
    const expected = {
      send: text,
      end: text,
      small: 'small',
      stream: text + text,
      flush: 'one two',
    };
    for (const [path, body] of Object.entries(expected)) {
      const reply = await fetch(`${url}/${path}`, accept);
      expect(reply.headers.get('Content-Encoding')).toBe(path === 'small' ? null : 'gzip');
      expect(await reply.text()).toBe(body);
      expect(await free(locker)).toBe(true);
    }
  });

  test.each(['before', 'after'])('%s the lock: a client that leaves', async (place) => {
    const locker = realLocker();
    const app = express();
    if (place === 'before') app.use(compression());
    app.use(lockRoute({ locker, key: 'k', ttl: 600_000 }));
    if (place === 'after') app.use(compression());
    app.get('/', (req, res) => {
      res.type('text').write(text);
      req.lock?.signal.addEventListener('abort', () => res.end(text));
    });
    const client = await rawClient(await serve(app));
    client.send('GET / HTTP/1.1', 'Host: x', 'Accept-Encoding: gzip');
    await until(async () => !(await free(locker)));
    client.socket.destroy();
    await until(() => free(locker));
  });
});

test.each(['before', 'after'])('compression %s the lock: a slow reader', async (place) => {
  const locker = realLocker();
  const released = deferred();
  let finished = false;
  locker.on('released', () => released.resolve());
  const app = express();
  if (place === 'before') app.use(compression({ level: 1 }));
  app.use(lockRoute({ locker, key: 'k', ttl: 600_000 }));
  if (place === 'after') app.use(compression({ level: 1 }));
  app.get('/', (_req, res) => {
    res.on('finish', () => (finished = true));
    res.type('text').end(randomBytes(24_000_000));
  });
  const client = await rawClient(await serve(app));
  client.socket.pause();
  client.send('GET / HTTP/1.1', 'Host: x', 'Accept-Encoding: gzip');
  await released.promise;
  await until(() => free(locker));
  expect(finished).toBe(false);
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
