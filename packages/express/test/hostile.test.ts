import { memoryStore } from '@holdfast/core';
import { lockRoute, type LockRouteOptions } from '@holdfast/express';
import { countedStore } from '@holdfast/test-servers';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { deferred, express, post, rawClient, realLocker, serve, until } from './kit.ts';

// Express prints what its own handler of errors answers.
beforeEach(() => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
  return () => printed.mockRestore();
});

const tooMuch: Record<string, Partial<LockRouteOptions>> = {
  'a list of 12,000 keys': { key: (req) => (req.body as string).split(',') },
  'a list with a key over 64 kB': { key: (req) => ['a', req.body as string] },
  'a key over 64 kB': { key: (req) => req.body as string },
  'an owner over 1 kB': { key: 'k', owner: (req) => req.body as string },
};

describe.each(Object.entries(tooMuch))('%s from a body', (_, options) => {
  test('is a bad request, asks the store for nothing, and shows nothing', async () => {
    const counted = countedStore(memoryStore());
    const locker = realLocker(counted.store);
    const app = express();
    app.set('env', 'production');
    app.use(express.text({ limit: '10mb' }));
    let ran = false;
    const lock = lockRoute({ locker, ...options } as LockRouteOptions);
    app.post('/', lock, (_req, res) => {
      ran = true;
      res.end();
    });
    const { url } = await serve(app);
    const body = Array.from({ length: 12_000 }, (_key, index) => `secret:${index}`).join(',');
    const reply = await post(url, { body });
    expect(reply.status).toBe(400);
    expect(await reply.text()).not.toContain('secret');
    expect([ran, counted.acquires]).toEqual([false, 0]);
  });
});

test('a label of 5 MB from a body is cut before the store sees it', async () => {
  const locker = realLocker();
  const app = express();
  app.use(express.text({ limit: '10mb' }));
  app.post(
    '/',
    lockRoute({ locker, key: 'k', label: (req) => req.body as string }),
    async (_req, res) => res.json((await locker.inspect('k'))?.label.length),
  );
  const { url } = await serve(app);
  const reply = await post(url, { body: 'x'.repeat(5_000_000) });
  expect(await reply.json()).toBe(256);
});

describe('a full queue', () => {
  test('is answered 503 with Retry-After, and its code is there for error handlers', async () => {
    const locker = realLocker(memoryStore(), { maxWaiters: 1 });
    const app = express();
    app.set('env', 'production');
    const errors: unknown[] = [];
    const open = deferred();
    const began = deferred();
    app.post('/', lockRoute({ locker, key: 'secret', wait: 60_000 }), async (_req, res) => {
      began.resolve();
      await open.promise;
      res.send('ok');
    });
    app.use((error: Error, _req: unknown, _res: unknown, next: express.NextFunction) => {
      errors.push(error);
      next(error);
    });
    const { url } = await serve(app);
    const refusals: unknown[] = [];
    locker.on('not-acquired', ({ reason }) => refusals.push(reason));
    const holder = post(url);
    await began.promise;
    const waiter = post(url);
    await until(async () => (await locker.inspect('secret'))?.waiters === 1);
    const refused = await Promise.all(Array.from({ length: 5 }, () => post(url)));
    for (const reply of refused) {
      expect([reply.status, reply.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await reply.text()).not.toContain('secret');
    }
    expect(errors).toHaveLength(5);
    expect(errors[0]).toMatchObject({ code: 'LOCK_QUEUE_FULL', status: 503, expose: false });
    expect(refusals).toEqual(Array(5).fill('queue-full'));
    open.resolve();
    expect((await holder).status).toBe(200);
    expect((await waiter).status).toBe(200);
  });

  test('has room again when a client that waited leaves', async () => {
    const locker = realLocker(memoryStore(), { maxWaiting: 1 });
    const app = express();
    let ran = 0;
    app.post('/', lockRoute({ locker, key: 'k', wait: 60_000 }), (_req, res) => {
      ran += 1;
      res.send('ok');
    });
    const site = await serve(app);
    const other = await locker.lock('k');
    const client = await rawClient(site);
    client.send('POST / HTTP/1.1', 'Host: x', 'Content-Length: 0');
    await until(async () => (await locker.inspect('k'))?.waiters === 1);
    client.socket.destroy();
    await until(async () => (await locker.inspect('k'))?.waiters === 0);
    const next = post(site.url);
    await until(async () => (await locker.inspect('k'))?.waiters === 1);
    await other.release();
    expect((await next).status).toBe(200);
    expect(ran).toBe(1);
  });
});
