import { memoryStore, currentLock, type Lock } from '@holdfast/core';
import { getLock, lockRoute } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { deferred, express, MAJOR, post, realLocker, serve, testLocker, until } from './kit.ts';

test('these tests run on the version of Express that their project names', ({ task }) => {
  expect(MAJOR).toBe(task.file.projectName === 'express on express4' ? 4 : 5);
});

describe('a route with a lock', () => {
  test('lets one request per key in, and answers 423 to another', async () => {
    const { locker } = testLocker();
    const inside = deferred();
    const done = deferred();
    let runs = 0;
    const app = express();
    const lock = lockRoute({ locker, key: (req) => `order:${req.params['id']}` });
    app.post('/orders/:id/pay', lock, async (_req, res) => {
      runs += 1;
      inside.resolve();
      await done.promise;
      res.json({ ok: true });
    });
    const { url } = await serve(app);
    const first = post(`${url}/orders/1/pay`);
    await inside.promise;

    const second = await post(`${url}/orders/1/pay`);
    expect(second.status).toBe(423);
    expect(second.headers.get('Retry-After')).toBe('1');
    expect(second.headers.get('Content-Type')).toBe('application/problem+json');
    const problem = await second.text();
    expect(problem).not.toContain('order');
    expect(JSON.parse(problem)).toEqual({
      type: 'about:blank',
      title: 'Locked',
      status: 423,
      detail: 'Another request holds the lock. Try again later.',
      code: 'LOCK_NOT_ACQUIRED',
      retryAfter: 1,
    });

    const other = post(`${url}/orders/2/pay`);
    await until(() => runs === 2);
    done.resolve();
    expect((await first).status).toBe(200);
    expect((await other).status).toBe(200);
    expect((await post(`${url}/orders/1/pay`)).status).toBe(200);
    expect(runs).toBe(3);
  });

  test('lets those that wait in one after the other', async () => {
    const { locker } = testLocker();
    let inside = 0;
    let most = 0;
    const order: string[] = [];
    const app = express();
    app.post('/:n', lockRoute({ locker, key: 'k', wait: 60_000 }), async (req, res) => {
      most = Math.max(most, ++inside);
      order.push(req.params['n'] ?? '');
      await new Promise(setImmediate);
      inside -= 1;
      res.send('ok');
    });
    const { url } = await serve(app);
    const replies = await Promise.all([1, 2, 3, 4, 5].map((n) => post(`${url}/${n}`)));
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200, 200, 200]);
    expect(most).toBe(1);
    expect(order.toSorted()).toEqual(['1', '2', '3', '4', '5']);
  });

  test('answers 423 when the wait is over, not before', async () => {
    const { clock, locker } = testLocker();
    const held = await locker.lock('k');
    const app = express();
    app.post('/', lockRoute({ locker, key: 'k', wait: 2_000 }), (_req, res) => res.send('ok'));
    const { url } = await serve(app);
    let waiting = 0;
    locker.on('waiting', () => (waiting += 1));
    const statuses: number[] = [];
    const reply = post(url).then(({ status }) => statuses.push(status));
    await until(() => waiting === 1);
    await clock.advance(1_990);
    await new Promise(setImmediate);
    expect(statuses).toEqual([]);
    await clock.advance(20);
    await reply;
    expect(statuses).toEqual([423]);
    await held.release();
  });

  test('asks for the ttl, wait and keys of each request', async () => {
    const { locker } = testLocker();
    const seen: unknown[] = [];
    const app = express();
    const lock = lockRoute({
      locker,
      key: async (req) => [`from:${req.params['from']}`, `to:${req.params['to']}`],
      ttl: (req) => Number(req.query['ttl']),
      wait: async (req) => Number(req.query['wait']),
    });
    app.post('/move/:from/:to', lock, (req, res) => {
      seen.push(req.lock?.keys, Math.round(req.lock?.remaining ?? 0));
      res.send('ok');
    });
    const { url } = await serve(app);
    expect((await post(`${url}/move/a/b?ttl=3000&wait=0`)).status).toBe(200);
    expect(seen).toEqual([['from:a', 'to:b'], 2_700]);
    const held = await locker.lock('to:c');
    expect((await post(`${url}/move/b/c?ttl=3000&wait=0`)).status).toBe(423);
    const waiting = post(`${url}/move/b/c?ttl=3000&wait=60000`);
    await until(async () => (await locker.inspect('to:c'))?.waiters === 1);
    await held.release();
    expect((await waiting).status).toBe(200);
  });

  test('runs the handler in the context of its lock', async () => {
    const { locker } = testLocker();
    const app = express();
    const seen: unknown[] = [];
    const look = (lock: Lock | undefined): void => {
      seen.push(currentLock() === lock, lock?.state);
    };
    app.use(lockRoute({ locker, key: 'k' }));
    app.use(express.json());
    app.post('/', async (req, res) => {
      look(req.lock);
      await new Promise(setImmediate);
      look(getLock(req));
      await locker
        .withLock('k', { wait: 100 }, () => {})
        .catch((e: { code?: string }) => seen.push(e.code));
      seen.push(req.body);
      res.send('ok');
    });
    const { url } = await serve(app);
    await post(url, { body: '{"a":1}', headers: { 'Content-Type': 'application/json' } });
    expect(seen).toEqual([true, 'held', true, 'held', 'LOCK_REENTRY', { a: 1 }]);
  });

  test('takes its lock on HEAD, and not for the OPTIONS that Express answers', async () => {
    const { locker } = testLocker();
    const acquired: string[] = [];
    locker.on('acquired', ({ key }) => acquired.push(key));
    const app = express();
    app.get('/', lockRoute({ locker, key: (req) => req.method }), (_req, res) => res.send('ok'));
    const { url } = await serve(app);
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(url, { method: 'OPTIONS' })).status).toBe(200);
    expect(acquired).toEqual(['HEAD']);
    expect(await locker.inspect('HEAD')).toBeNull();
  });

  test('holds nothing for a key function that answers null', async () => {
    const { locker } = testLocker();
    const events: string[] = [];
    locker.on('acquired', ({ key }) => events.push(key));
    locker.on('bypassed', () => events.push('bypassed'));
    const app = express();
    const lock = lockRoute({ locker, key: (req) => (req.query['free'] ? null : 'k') });
    app.post('/', lock, (req, res) => res.json({ locked: req.lock !== undefined }));
    app.post(
      '/h',
      lock.handler((req, res) => res.json({ locked: req.lock !== undefined })),
    );
    const { url } = await serve(app);
    expect(await (await post(`${url}?free=1`)).json()).toEqual({ locked: false });
    expect(await (await post(`${url}/h?free=1`)).json()).toEqual({ locked: false });
    expect(await (await post(url)).json()).toEqual({ locked: true });
    expect(events).toEqual(['k']);
  });

  test('excludes over lockers, as over processes', async () => {
    const store = memoryStore();
    const inside = deferred();
    const done = deferred();
    const site = () => {
      const app = express();
      app.post('/', lockRoute({ locker: realLocker(store), key: 'k' }), async (_req, res) => {
        inside.resolve();
        await done.promise;
        res.send('ok');
      });
      return serve(app);
    };
    const [one, two] = [await site(), await site()];
    const first = post(one.url);
    await inside.promise;
    expect((await post(two.url)).status).toBe(423);
    done.resolve();
    expect((await first).status).toBe(200);
    expect((await post(two.url)).status).toBe(200);
  });
});
