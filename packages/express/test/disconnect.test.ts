// A client that goes away while its handler runs, and after.
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import type { Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { deferred, express, post, rawClient, serve, testLocker, until } from './kit.ts';

const POST = ['POST / HTTP/1.1', 'Host: x', 'Content-Length: 0'];
const TTL = 10_000;

const isFree = async (locker: Locker): Promise<boolean> => (await locker.inspect('k')) === null;

/** A site whose handler runs until the test lets it go on, and what it saw. */
async function running(options: { abortOnDisconnect?: boolean; ttl?: number } = {}) {
  const { clock, locker } = testLocker({ ttl: TTL });
  const inside = deferred();
  const goOn = deferred();
  const seen: { signal?: AbortSignal; runs: number } = { runs: 0 };
  const app = express();
  app.post('/', lockRoute({ locker, key: 'k', ...options }), async (req, res) => {
    seen.runs += 1;
    if (seen.runs === 1) {
      seen.signal = req.lock?.signal as AbortSignal;
      inside.resolve();
      await goOn.promise;
    }
    res.send('ok');
  });
  const site = await serve(app);
  const client = await rawClient(site);
  return { clock, locker, inside: inside.promise, goOn: () => goOn.resolve(), seen, site, client };
}

describe('a client that leaves while its handler runs', () => {
  test('aborts the signal, and keeps others out until the handler ends', async () => {
    const { locker, inside, goOn, seen, site, client } = await running();
    client.send(...POST);
    await inside;
    client.socket.destroy();
    await until(() => seen.signal?.aborted === true);
    expect(seen.signal?.reason).toMatchObject({ code: 'LOCK_ABORTED', key: 'k' });
    expect((await post(site.url)).status).toBe(423);
    goOn();
    await until(() => isFree(locker));
    expect((await post(site.url)).status).toBe(200);
    expect(seen.runs).toBe(2);
  });

  test('keeps others out for the ttl at most when its handler never ends', async () => {
    const { clock, inside, seen, site, client } = await running();
    client.send(...POST);
    await inside;
    await clock.advance(TTL * 3);
    // Up to here it was renewed.
    expect((await post(site.url)).status).toBe(423);
    client.socket.destroy();
    await until(() => seen.signal?.aborted === true);
    await clock.advance(TTL / 2);
    expect((await post(site.url)).status).toBe(423);
    await clock.advance(TTL / 2);
    expect((await post(site.url)).status).toBe(200);
  });

  test('frees the lock when its handler destroys the response then', async () => {
    const { locker } = testLocker({ ttl: TTL });
    const left = deferred();
    const goOn = deferred();
    const app = express();
    app.post('/', lockRoute({ locker, key: 'k' }), async (req, res) => {
      req.lock?.signal.addEventListener('abort', () => left.resolve());
      res.write('some');
      await goOn.promise;
      res.destroy();
    });
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await until(() => client.received.includes('some'));
    client.socket.destroy();
    await left.promise;
    expect(await isFree(locker)).toBe(false);
    goOn.resolve();
    await until(() => isFree(locker));
  });

  test('counts as gone with half of its connection only', async () => {
    const { inside, goOn, seen, locker, client } = await running();
    client.send(...POST);
    await inside;
    client.socket.end();
    await until(() => seen.signal?.aborted === true);
    expect(await isFree(locker)).toBe(false);
    goOn();
    await until(() => isFree(locker));
  });

  test('does not abort the signal with abortOnDisconnect: false', async () => {
    const { inside, goOn, seen, site, locker, client } = await running({
      abortOnDisconnect: false,
    });
    client.send(...POST);
    await inside;
    client.socket.destroy();
    await once(client.socket, 'close');
    expect((await post(site.url)).status).toBe(423);
    expect(seen.signal?.aborted).toBe(false);
    goOn();
    await until(() => isFree(locker));
  });

  test('frees the lock with the ttl when its handler never ends, with abortOnDisconnect: false', async () => {
    const { clock, inside, seen, locker, client } = await running({ abortOnDisconnect: false });
    client.send(...POST);
    await inside;
    client.socket.destroy();
    // The server learns of it at some time.
    for (let step = 0; !(await isFree(locker)); step++) {
      expect(step).toBeLessThan(1_000);
      await clock.advance(TTL / 10);
    }
    expect(seen.signal?.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'expired' });
  });

  test('aborts its signal also behind another request on its connection', async () => {
    const { locker } = testLocker({ ttl: TTL });
    let signal: AbortSignal | undefined;
    const app = express();
    app.get('/slow', () => {});
    app.post('/', express.text(), lockRoute({ locker, key: 'k' }), (req) => {
      signal = req.lock?.signal;
    });
    const client = await rawClient(await serve(app));
    client.send('GET /slow HTTP/1.1', 'Host: x');
    client.send(...POST);
    await until(() => signal !== undefined);
    client.socket.destroy();
    await until(() => signal?.aborted === true);
  });
});

describe('a stream to a client that leaves', () => {
  test.each(['pipe', 'pipeline'])('frees the lock with the ttl, with %s', async (way) => {
    const { clock, locker } = testLocker({ ttl: TTL });
    let signal: AbortSignal | undefined;
    const app = express();
    app.post('/', lockRoute({ locker, key: 'k' }), (req, res) => {
      signal = req.lock?.signal;
      const source = new Readable({ read() {} });
      source.push('some');
      if (way === 'pipe') source.pipe(res);
      else pipeline(source, res, () => {});
    });
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await until(() => client.received.includes('some'));
    client.socket.destroy();
    await until(() => signal?.aborted === true);
    expect(await isFree(locker)).toBe(false);
    await clock.advance(TTL);
    expect(await isFree(locker)).toBe(true);
  });

  test('from a loop that ends it at last, frees the lock then', async () => {
    const { locker } = testLocker({ ttl: TTL });
    const stop = deferred();
    const app = express();
    app.post('/', lockRoute({ locker, key: 'k' }), async (req, res) => {
      const { signal } = req.lock as { signal: AbortSignal };
      while (!signal.aborted) {
        res.write('some');
        await new Promise(setImmediate);
      }
      await stop.promise;
      res.end();
    });
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await until(() => client.received.includes('some'));
    client.socket.destroy();
    await new Promise(setImmediate);
    expect(await isFree(locker)).toBe(false);
    stop.resolve();
    await until(() => isFree(locker));
  });
});

test.each(['middleware', 'handler'])(
  'a big response does not hold the lock while its client reads nothing, in the %s form',
  async (form) => {
    const { locker } = testLocker({ ttl: TTL });
    let finished = false;
    const app = express();
    const lock = lockRoute({ locker, key: 'k' });
    const answer = (_req: unknown, res: express.Response): void => {
      res.on('finish', () => (finished = true));
      res.send(Buffer.alloc(64_000_000));
    };
    if (form === 'middleware') app.post('/', lock, answer);
    else
      app.post(
        '/',
        lock.handler(async (req, res) => answer(req, res)),
      );
    app.post('/next', lock, (_req, res) => res.send('ok'));
    const site = await serve(app);
    const released = deferred();
    locker.on('released', () => released.resolve());
    const client = await rawClient(site);
    client.socket.pause();
    client.send(...POST);
    await released.promise;
    expect((await post(`${site.url}/next`)).status).toBe(200);
    expect(finished).toBe(false);
    client.socket.destroy();
  },
);

test('an upload that breaks off frees the lock through the error handlers', async () => {
  const { locker } = testLocker({ ttl: TTL });
  const events: string[] = [];
  locker.on('acquired', () => events.push('acquired'));
  locker.on('released', () => events.push('released'));
  const app = express();
  app.use(lockRoute({ locker, key: 'k' }), express.json());
  app.post('/', () => events.push('ran'));
  const client = await rawClient(await serve(app));
  client.send(
    'POST / HTTP/1.1',
    'Host: x',
    'Content-Type: application/json',
    'Content-Length: 99',
    '',
    '{"a":',
  );
  await until(() => events.includes('acquired'));
  client.socket.destroy();
  await until(() => events.includes('released'));
  expect(events).toEqual(['acquired', 'released']);
});

test('a client that leaves after its answer changes nothing', async () => {
  const { locker } = testLocker({ ttl: TTL });
  const reasons: unknown[] = [];
  const app = express();
  app.post('/', lockRoute({ locker, key: 'k' }), (req, res) => {
    const signal = req.lock?.signal as AbortSignal;
    signal.addEventListener('abort', () => reasons.push((signal.reason as { code?: string }).code));
    res.send('ok');
  });
  const client = await rawClient(await serve(app));
  client.send(...POST);
  await until(() => client.received.endsWith('ok'));
  client.socket.destroy();
  await new Promise(setImmediate);
  expect(reasons).toEqual(['LOCK_RELEASED']);
  expect(await isFree(locker)).toBe(true);
});
