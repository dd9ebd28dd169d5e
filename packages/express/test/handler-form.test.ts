// `.handler(fn)`: held until `fn` and the response are both done.
import { currentLock, type Lock } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { POST, site, type Handle } from './handler-kit.ts';
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

  test('lets the end wait for the release on a slow store', async () => {
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

  test('gets to the end when it waits for its response to be finished', async () => {
    const { url, isFree } = await site(async (_req, res) => {
      await new Promise<void>((finished) => {
        res.end('ok', finished);
      });
    });
    expect(await (await post(url)).text()).toBe('ok');
    await until(isFree);
  });

  test('gets to the end when it awaits a pipeline into its response', async () => {
    const { url, isFree } = await site((_req, res) => pipeline(Readable.from(['o', 'k']), res));
    expect(await (await post(url)).text()).toBe('ok');
    await until(isFree);
  });

  test('holds the lock until its response has ended too', async () => {
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

  test('hears of the loss of its lock', async () => {
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
