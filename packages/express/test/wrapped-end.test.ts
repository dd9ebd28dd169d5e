// Others that wrap `res.end`, before and after the lock.
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import compression from 'compression';
import session from 'express-session';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deferred, express, rawClient, realLocker, serve, tardyStore, until } from './kit.ts';

declare module 'express-session' {
  interface SessionData {
    visits: number;
  }
}

const free = async (locker: Locker): Promise<boolean> => (await locker.inspect('k')) === null;

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

describe.each(['before', 'after'])('express-session %s the lock', (place) => {
  const visits = (locker: Locker): express.Express => {
    const app = express();
    const sessions = session({ secret: 's', resave: false, saveUninitialized: true });
    const lock = lockRoute({ locker, key: 'k', releaseTimeout: 60_000 });
    if (place === 'before') app.use(sessions, lock);
    else app.use(lock, sessions);
    app.get('/', (req, res) => {
      req.session.visits = (req.session.visits ?? 0) + 1;
      res.send(`visit ${req.session.visits}`);
    });
    return app;
  };

  test('keeps its sessions, and the lock is free when the client has its answer', async () => {
    const locker = realLocker();
    const { url } = await serve(visits(locker));
    const first = await fetch(url);
    expect(await first.text()).toBe('visit 1');
    expect(await free(locker)).toBe(true);
    const Cookie = first.headers.get('Set-Cookie')?.split(';')[0] as string;
    expect(await (await fetch(url, { headers: { Cookie } })).text()).toBe('visit 2');
  });

  test('the end waits for the release', async () => {
    const { store, releasing, confirm } = tardyStore();
    const app = visits(realLocker(store));
    onTestFinished(confirm);
    const at = await serve(app);
    const client = await rawClient(at);
    client.send('GET / HTTP/1.1', 'Host: x');
    await releasing;
    // A session that is saved first, if it is.
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    expect(client.received).not.toContain('visit 1');
    confirm();
    await until(() => client.received.endsWith('visit 1'));
  });
});
