// What a client is told when its lock is busy.
import { lockRoute } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { express, post, serve, testLocker } from './kit.ts';

describe('a busy lock', () => {
  test('answers with the status and the time that the options name', async () => {
    const { locker } = testLocker();
    await locker.lock('k');
    const app = express();
    const lock = lockRoute({ locker, key: 'k', statusCode: 409, retryAfter: 2.5 });
    app.all('/', lock, (_req, res) => res.send('ok'));
    const { url } = await serve(app);
    const reply = await post(url);
    expect([reply.status, reply.headers.get('Retry-After')]).toEqual([409, '3']);
    expect(await reply.json()).toMatchObject({ title: 'Conflict', status: 409, retryAfter: 3 });
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(409);
  });

  test('lets onLocked answer instead, and the handler does not run', async () => {
    const { locker } = testLocker();
    await locker.lock('k');
    let ran = false;
    const app = express();
    const lock = lockRoute({
      locker,
      key: 'k',
      onLocked: (_req, res, _next, error) => {
        res.status(202).json({ code: error.code, key: error.key });
      },
    });
    app.post('/', lock, () => (ran = true));
    app.post(
      '/h',
      lock.handler(() => (ran = true)),
    );
    const { url } = await serve(app);
    for (const path of ['/', '/h']) {
      const reply = await post(url + path);
      expect(reply.status).toBe(202);
      expect(await reply.json()).toEqual({ code: 'LOCK_NOT_ACQUIRED', key: 'k' });
    }
    expect(ran).toBe(false);
  });

  test('passes without the lock when onLocked calls next, and tells it', async () => {
    const { locker } = testLocker();
    const told: unknown[] = [];
    locker.on('bypassed', ({ key, error }) => told.push(key, (error as { code?: string }).code));
    await locker.lock('k');
    const app = express();
    const lock = lockRoute({ locker, key: 'k', onLocked: async (_req, _res, next) => next() });
    app.post('/', lock, (req, res) => res.json({ locked: req.lock !== undefined }));
    app.post(
      '/h',
      lock.handler(async (req, res) => res.json({ locked: req.lock !== undefined })),
    );
    const { url } = await serve(app);
    for (const path of ['/', '/h']) {
      expect(await (await post(url + path)).json()).toEqual({ locked: false });
    }
    expect(told).toEqual(['k', 'LOCK_NOT_ACQUIRED', 'k', 'LOCK_NOT_ACQUIRED']);
  });

  test('goes to the error handlers when onLocked says so, throws or rejects', async () => {
    const { locker } = testLocker();
    await locker.lock('k');
    const app = express();
    const failure = new Error('no');
    const ways = [
      (next: (error?: unknown) => void) => next(failure),
      () => {
        throw failure;
      },
      () => Promise.reject(failure),
    ];
    for (const [index, way] of ways.entries()) {
      const onLocked = (_req: unknown, _res: unknown, next: (error?: unknown) => void) => way(next);
      app.post(`/${index}`, lockRoute({ locker, key: 'k', onLocked }));
    }
    const seen: unknown[] = [];
    app.use(
      (
        error: unknown,
        _req: express.Request,
        res: express.Response,
        _next: express.NextFunction,
      ) => {
        seen.push(error);
        res.sendStatus(418);
      },
    );
    const { url } = await serve(app);
    for (const index of ways.keys()) expect((await post(`${url}/${index}`)).status).toBe(418);
    expect(seen).toEqual([failure, failure, failure]);
  });
});
