// What the key of a request is, and what it cannot be meant to be.
import { createRequire } from 'node:module';
import { createLocker, memoryStore } from '@holdfast/core';
import { lockRoute, type LockRouteOptions } from '@holdfast/express';
import { Router, type Request, type Response } from 'express';
import { describe, expect, onTestFinished, test } from 'vitest';
import { express, MAJOR, post, rawClient, realLocker, serve, until } from './kit.ts';

/** A locker that notes what it is asked for. */
function notingLocker() {
  const locker = createLocker({ store: memoryStore() });
  onTestFinished(() => locker.close());
  const keys: (string | readonly string[])[] = [];
  const warnings: { code: string; message: string }[] = [];
  locker.on('acquired', (event) => keys.push(event.keys.length > 1 ? event.keys : event.key));
  locker.on('warning', (warning) => warnings.push(warning));
  return { locker, keys, warnings };
}

const ok = (_req: unknown, res: Response): void => void res.send('ok');

describe('a key that cannot be meant', () => {
  const mistakes: [string, string][] = [
    ['undefined', 'order:undefined'],
    ['null', 'order:null:lines'],
    ['NaN', 'page-NaN'],
    ['[object Object]', 'order:[object Object]'],
    ['undefined', 'undefined'],
  ];
  test.each(mistakes)('holds %s, as %s does, and is told', async (mistake, key) => {
    const { locker, keys, warnings } = notingLocker();
    const app = express();
    app.post('/', lockRoute({ locker, key: () => ['a', key] }), ok);
    const { url } = await serve(app);
    expect((await post(url)).status).toBe(200);
    expect(keys).toEqual([['a', key]]);
    expect(warnings).toMatchObject([{ code: 'HOLDFAST_SUSPICIOUS_KEY' }]);
    expect(warnings[0]?.message).toContain(mistake);
  });

  test.each(['order:nullable', 'undefinedness', 'NaNcy', 'the-nulls', 'object'])(
    'does not warn of %s, which only looks like a mistake',
    async (key) => {
      const { locker, warnings } = notingLocker();
      const app = express();
      app.post('/', lockRoute({ locker, key: () => key }), ok);
      await post((await serve(app)).url);
      expect(warnings).toEqual([]);
    },
  );

  test('warns once of it, and without the key', async () => {
    const { locker, warnings } = notingLocker();
    const app = express();
    const router = Router();
    // Where a router is used, there are no parameters yet.
    const key = (req: Request): string => `secret:${req.params['id'] as string}`;
    router.use(lockRoute({ locker, key }));
    router.post('/orders/:id', ok);
    app.use(router);
    const { url } = await serve(app);
    await post(`${url}/orders/1`);
    await post(`${url}/orders/2`);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.message).not.toContain('secret');
  });

  test('does not warn of a key that every request shares on purpose', async () => {
    const { locker, warnings } = notingLocker();
    const app = express();
    app.post('/', lockRoute({ locker, key: 'null' }), ok);
    await post((await serve(app)).url);
    expect(warnings).toEqual([]);
  });
});

describe.runIf(MAJOR === 5)('a wildcard, which only Express 5 splits,', () => {
  const keysOf = async (key: LockRouteOptions['key'], ...paths: string[]) => {
    const { locker, keys } = notingLocker();
    const app = express();
    const seen: unknown[] = [];
    app.post('/files/*path', lockRoute({ locker, key }), (req, res) => {
      seen.push(req.params.path, String(req.params.path));
      res.send('ok');
    });
    const { url } = await serve(app);
    for (const path of paths) expect((await post(`${url}/files/${path}`)).status).toBe(200);
    return { keys, seen };
  };

  const forms: [string, LockRouteOptions['key']][] = [
    ['in a template string', (req) => `file:${req.params['path']}`],
    ['added to a string', (req) => 'file:' + req.params['path']],
    [
      'after a pause',
      async (req) => {
        await new Promise(setImmediate);
        return `file:${req.params['path']}`;
      },
    ],
    ['joined by hand', (req) => `file:${(req.params['path'] as unknown as string[]).join('/')}`],
  ];
  test.each(forms)('reads as its path %s', async (_name, key) => {
    const { keys } = await keysOf(key, 'a/b', 'a,b', 'c');
    expect(keys).toEqual(['file:a/b', 'file:a,b', 'file:c']);
  });

  test('makes one key when it is the key itself', async () => {
    const { keys } = await keysOf((req) => req.params['path'] as string, 'a/b', 'b/a');
    expect(keys).toEqual(['a/b', 'b/a']);
  });

  test('makes a key of its own from a segment with a slash', async () => {
    const { keys } = await keysOf((req) => `${req.params['path']}`, 'a/b', 'a%2Fb', 'a%252Fb');
    expect(keys).toEqual(['a/b', 'a%2Fb', 'a%252Fb']);
  });

  test('reaches the handler as Express made it', async () => {
    const { seen } = await keysOf((req) => `${req.params['path']}`, 'a/b');
    expect(seen).toEqual([['a', 'b'], 'a,b']);
  });

  test('stays as Express made it after a key function that throws', async () => {
    const app = express();
    const params: unknown[] = [];
    for (const key of [
      () => {
        throw new Error('no');
      },
      () => Promise.reject(new Error('no')),
    ]) {
      app.post('/files/*path', lockRoute({ locker: realLocker(), key }));
    }
    app.use((_error: Error, req: Request, res: Response, _next: unknown) => {
      params.push(String(req.params['path']));
      res.end();
    });
    app.set('env', 'test');
    await post(`${(await serve(app)).url}/files/a/b`);
    expect(params).not.toContain('a/b');
  });
});

/** A promise of a library's own, as Bluebird makes. */
const foreign = <T>(value: T): PromiseLike<T> => ({
  // oxlint-disable-next-line unicorn/no-thenable
  then: (onFulfilled) => Promise.resolve(value).then(onFulfilled),
});

describe('a promise that is not of Node', () => {
  test('counts as the answer of every function of the request', async () => {
    const { locker, keys } = notingLocker();
    const app = express();
    const lock = lockRoute({
      locker,
      key: () => foreign('k'),
      ttl: () => foreign(20_000),
      wait: () => foreign(5),
    });
    app.post(
      '/',
      lock.handler((_req, res) => {
        res.send('ok');
        return foreign('done');
      }),
    );
    expect((await post((await serve(app)).url)).status).toBe(200);
    expect(keys).toEqual(['k']);
    expect(await locker.inspect('k')).toBeNull();
  });

  test('may be what `Promise` is, and an async key works', async () => {
    const Bluebird = createRequire(import.meta.url)('bluebird') as PromiseConstructor;
    const native = globalThis.Promise;
    const { locker, keys } = notingLocker();
    const app = express();
    app.post('/', lockRoute({ locker, key: async () => 'k', wait: async () => 5 }), ok);
    // By hand, for Node's own client needs its own promises.
    const client = await rawClient(await serve(app));
    onTestFinished(() => {
      globalThis.Promise = native;
    });
    globalThis.Promise = Bluebird;
    client.send('POST / HTTP/1.1', 'Host: x', 'Content-Length: 0');
    await until(() => client.received !== '');
    globalThis.Promise = native;
    expect(client.received).toMatch(/^HTTP\/1.1 200/);
    expect(keys).toEqual(['k']);
  });
});
