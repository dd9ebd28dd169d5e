// The end of a response reaches the client when the lock is free, and the handler does not notice.
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { lockRoute } from '@holdfast/express';
import type { Response } from 'express';
import { describe, expect, test } from 'vitest';
import { deferred, express, post, rawClient, realLocker, serve, tardySite, until } from './kit.ts';

const POST = ['POST /pay HTTP/1.1', 'Host: x', 'Content-Length: 0'];

const endings: Record<string, (res: Response) => void> = {
  json: (res) => void res.json({ ok: true }),
  'end with a body': (res) => void res.end('ok'),
  'end without a body': (res) => void res.end(),
  'write and end': (res) => {
    res.write('o');
    res.end('k');
  },
  'no content': (res) => void res.sendStatus(204),
  redirect: (res) => res.redirect('/elsewhere'),
};

describe('until the store has confirmed the release', () => {
  test.each(Object.entries(endings))('%s does not end at the client', async (_name, answer) => {
    const { site, releasing, confirm, ping } = await tardySite(answer);
    let arrived = false;
    const response = post(`${site.url}/pay`, { redirect: 'manual' }).then(async (reply) => {
      await reply.text();
      arrived = true;
      return reply;
    });
    await releasing;
    await ping();
    expect(arrived).toBe(false);
    confirm();
    expect((await response).status).toBeLessThan(400);
  });

  test('holds back every byte of a body given to end, send or json', async () => {
    const { site, releasing, confirm, ping } = await tardySite((res) => res.json({ ok: true }));
    const client = await rawClient(site);
    client.send(...POST);
    await releasing;
    await ping();
    expect(client.received).toBe('');
    confirm();
    await until(() => client.received.endsWith('{"ok":true}'));
  });

  test('the response looks to its handler as any that is ended', async () => {
    const bare = observed();
    const app = express();
    app.post('/pay', (_req, res) => bare.answer(res));
    const client = await rawClient(await serve(app));
    client.send(...POST);
    await until(() => bare.events.includes('close'));

    const locked = observed();
    const { site, releasing, confirm, ping } = await tardySite(locked.answer);
    const other = await rawClient(site);
    other.send(...POST);
    await releasing;
    await ping();
    expect(locked.seen).toEqual(bare.seen);
    expect(bare.seen).toEqual([true, true, true, true, 'ERR_HTTP_HEADERS_SENT', false]);
    // What follows the last byte follows it here too, in the order that this Node has for it.
    const last = ['finish', 'callback', 'close'];
    const isLast = (event: string): boolean => last.includes(event);
    expect(bare.events.filter(isLast).toSorted()).toEqual(last.toSorted());
    expect(locked.events.filter(isLast)).toEqual([]);
    expect(locked.events).toContain('prefinish');
    confirm();
    await until(() => locked.events.includes('close'));
    expect(locked.events.filter(isLast)).toEqual(bare.events.filter(isLast));
    expect(locked.events.toSorted()).toEqual(bare.events.toSorted());
    await until(() => other.received.endsWith('\r\n\r\nok'));
    expect(other.received).toMatch(/^HTTP\/1.1 201 Created\r\n/);
  });

  test('the next request on the connection waits for its turn', async () => {
    const { site, releasing, confirm, ping } = await tardySite((res) => res.send('first'));
    const client = await rawClient(site);
    client.send(...POST);
    client.send('GET /ping HTTP/1.1', 'Host: x');
    await releasing;
    await ping();
    expect(client.received).toBe('');
    confirm();
    await until(() => client.received.endsWith('pong'));
    expect(client.received.indexOf('first')).toBeGreaterThan(0);
    expect(client.received.indexOf('first')).toBeLessThan(client.received.indexOf('pong'));
  });

  test('a client that closes its side gets its answer', async () => {
    const { site, releasing, ping } = await tardySite((res) => res.send('first'));
    const client = await rawClient(site);
    client.send(...POST);
    await releasing;
    await ping();
    client.socket.end();
    await once(client.socket, 'close');
    expect(client.received).toMatch(/first$/);
  });

  test('a server that closes, to which the connection is idle, sends the answer first', async () => {
    const { site, releasing } = await tardySite((res) => res.send('first'));
    const reply = post(`${site.url}/pay`);
    await releasing;
    site.server.close();
    expect(await (await reply).text()).toBe('first');
  });

  test('a client that goes away does no harm', async () => {
    const { site, locker, releasing, confirm, ping } = await tardySite((res) => res.send('first'));
    const client = await rawClient(site);
    client.send(...POST);
    await releasing;
    client.socket.resetAndDestroy();
    await ping();
    confirm();
    await until(async () => (await locker.inspect('k')) === null);
    await ping();
  });
});

/** Ends a response, and notes what code can see of that. */
function observed() {
  const seen: unknown[] = [];
  const events: string[] = [];
  const answer = (res: Response): void => {
    for (const event of ['prefinish', 'finish', 'close', 'error']) {
      res.on(event, () => events.push(event));
    }
    const result = res.status(201).end('ok', () => events.push('callback'));
    seen.push(result === res, res.headersSent, res.writableEnded, res.finished);
    try {
      res.set('X-Late', '1');
    } catch (error) {
      seen.push((error as { code?: string }).code);
    }
    seen.push(res.write('late', () => events.push('late write')));
    res.end('later', () => events.push('late end'));
    res.end(() => events.push('second end'));
  };
  return { seen, events, answer };
}

test('an end that throws leaves the response open, and the lock held', async () => {
  const locker = realLocker();
  const app = express();
  const failures: unknown[] = [];
  app.post('/pay', lockRoute({ locker, key: 'k' }), async (_req, res) => {
    try {
      res.end(42 as never);
    } catch (error) {
      failures.push((error as { code?: string }).code, res.writableEnded);
    }
    failures.push((await locker.inspect('k')) !== null);
    res.end('ok');
  });
  const { url } = await serve(app);
  expect(await (await post(`${url}/pay`)).text()).toBe('ok');
  expect(failures).toEqual(['ERR_INVALID_ARG_TYPE', false, true]);
  expect(await locker.inspect('k')).toBeNull();
});

test('a write tells of backpressure as it does without a lock', async () => {
  const app = express();
  const full = deferred();
  const drained = deferred();
  app.get('/big', lockRoute({ locker: realLocker(), key: 'k' }), async (_req, res) => {
    let writes = 0;
    while (res.write(Buffer.alloc(65_536))) writes += 1;
    expect(res.writableNeedDrain).toBe(true);
    full.resolve();
    await once(res, 'drain');
    drained.resolve();
    res.end(String(writes));
  });
  const site = await serve(app);
  const client = await rawClient(site);
  client.socket.pause();
  client.send('GET /big HTTP/1.1', 'Host: x');
  await full.promise;
  client.socket.resume();
  await drained.promise;
  await until(() => client.received.endsWith('0\r\n\r\n'));
});

test('what a handler wrote before is not delayed', async () => {
  const { site, releasing, confirm, ping } = await tardySite((res) => {
    res.write('early');
    void turn().then(() => res.end('late'));
  });
  const client = await rawClient(site);
  client.send(...POST);
  await releasing;
  await until(() => client.received.includes('early'));
  await ping();
  expect(client.received).not.toContain('late');
  confirm();
  await until(() => client.received.endsWith('0\r\n\r\n'));
  expect(client.received).toContain('late');
});

test('one connection serves many requests, its own methods untouched', async () => {
  const locker = realLocker();
  const app = express();
  const ways = new Set<unknown>();
  app.use((req, _res, next) => {
    ways.add(Reflect.get(req.socket, 'write')).add(Reflect.get(req.socket, 'end'));
    next();
  });
  const lock = (key: string) => lockRoute({ locker, key, wait: 5_000 });
  app.get('/', lock('a'), lock('b'), (_req, res) => res.send('ok.'));
  const client = await rawClient(await serve(app));
  for (let count = 1; count <= 3; count++) {
    client.send('GET / HTTP/1.1', 'Host: x');
    await until(() => client.received.split('ok.').length > count);
  }
  expect(ways.size).toBe(2);
});
