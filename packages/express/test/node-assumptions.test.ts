// What this package takes for granted about Node, one by one: on a Node where one of these fails, what is
// built on it has to be looked at.
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, ServerResponse, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { deferred, rawClient, until } from './kit.ts';

type Method = (this: Socket, ...args: unknown[]) => unknown;

/** Puts a function around a method of a socket. */
function around(
  socket: Socket,
  name: '_write' | '_writev' | '_destroy' | 'emit',
  wrap: (call: () => unknown, args: unknown[]) => unknown,
): void {
  const real = (socket as unknown as Record<string, Method>)[name] as Method;
  const wrapped = (...args: unknown[]): unknown => wrap(() => real.apply(socket, args), args);
  Object.assign(socket, { [name]: wrapped });
}

const WRITES = ['_write', '_writev'] as const;

const GET = ['GET / HTTP/1.1', 'Host: x'];

async function serveRaw(handle: (req: IncomingMessage, res: ServerResponse) => void) {
  const server = createServer(handle).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

test('all that a response sends passes through the `_write` and `_writev` of its socket', async () => {
  const kept: (() => unknown)[] = [];
  const site = await serveRaw((req, res) => {
    for (const name of WRITES) around(req.socket, name, (write) => void kept.push(write));
    res.write('one');
    res.end('two');
  });
  const client = await rawClient(site);
  client.send(...GET);
  await until(() => kept.length > 0);
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  expect([client.received, kept.length]).toEqual(['', 1]);
  kept[0]?.();
  // What the stream gathered meanwhile comes in one more write, if there is more.
  await until(() => {
    kept[1]?.();
    return client.received.endsWith('0\r\n\r\n');
  });
});

test('a response has its socket while its bytes are written, and none before its turn', async () => {
  const all: ServerResponse[] = [];
  const sockets: unknown[] = [];
  const writing: boolean[] = [];
  const site = await serveRaw((req, res) => {
    all.push(res);
    sockets.push(res.socket === req.socket ? 'its own' : res.socket);
    if (all.length > 1) {
      res.end('second');
      all[0]?.end('first');
      return;
    }
    for (const name of WRITES) {
      around(req.socket, name, (write) => {
        writing.push(all.some((one) => one.socket === req.socket));
        return write();
      });
    }
  });
  const client = await rawClient(site);
  client.send(...GET);
  client.send(...GET);
  await until(() => client.received.endsWith('second'));
  expect(sockets).toEqual(['its own', null]);
  expect(writing.length).toBeGreaterThan(0);
  expect(writing).not.toContain(false);
});

test('a socket is destroyed through its `_destroy`, on the stack of who destroys it', async () => {
  const seen: unknown[] = [];
  const flow = new AsyncLocalStorage<string>();
  const site = await serveRaw((req) => {
    around(req.socket, '_destroy', (destroy, [error]) => {
      seen.push(error, flow.getStore(), req.socket.writableEnded);
      return destroy();
    });
    flow.run('here', () => req.socket.destroy());
  });
  const client = await rawClient(site);
  client.send(...GET);
  await once(client.socket, 'close');
  expect(seen).toEqual([null, 'here', false]);
});

test('a server that closes destroys, without an error, a connection whose response has ended', async () => {
  const destroyed = deferred<unknown>();
  const site = await serveRaw((req, res) => {
    for (const name of WRITES) around(req.socket, name, () => {});
    around(req.socket, '_destroy', (destroy, [error]) => {
      destroyed.resolve(error);
      return destroy();
    });
    res.end('ok');
    setImmediate(() => site.server.close());
  });
  const client = await rawClient(site);
  client.send(...GET);
  expect(await destroyed.promise).toBeNull();
});

test('a response that waits for its turn is destroyed, if at all, with an error and after its socket', async () => {
  const calls: [error: unknown, socketDestroyed: boolean][] = [];
  const closed = deferred();
  let first: Socket | undefined;
  const site = await serveRaw((req, res) => {
    if (first === undefined) {
      first = req.socket;
      req.socket.on('close', () => setImmediate(() => closed.resolve()));
      return;
    }
    const destroy = res.destroy.bind(res);
    res.destroy = (error) => {
      calls.push([error, req.socket.destroyed]);
      return destroy(error);
    };
    client.socket.resetAndDestroy();
  });
  const client = await rawClient(site);
  client.send(...GET);
  client.send(...GET);
  await closed.promise;
  for (const [error, socketDestroyed] of calls) {
    expect(error).toBeInstanceOf(Error);
    expect(socketDestroyed).toBe(true);
  }
});

test('the start of a request is published in the context of its listener', async () => {
  const flow = new AsyncLocalStorage<unknown>();
  const mark = (message: unknown): void =>
    flow.enterWith((message as { request: unknown }).request);
  subscribe('http.server.request.start', mark);
  onTestFinished(() => void unsubscribe('http.server.request.start', mark));
  const seen: boolean[] = [];
  const site = await serveRaw((req, res) => {
    seen.push(flow.getStore() === req);
    setTimeout(() => {
      seen.push(flow.getStore() === req);
      res.end('ok');
    }, 1);
  });
  const client = await rawClient(site);
  client.send(...GET);
  client.send(...GET);
  await until(() => client.received.split('ok').length === 3);
  expect(seen).toEqual([true, true, true, true]);
});

test('the events of a request and of its socket go through their `emit`', async () => {
  const events = new Set<string>();
  const site = await serveRaw((req, res) => {
    for (const [name, emitter] of Object.entries({ request: req, socket: req.socket })) {
      around(emitter as Socket, 'emit', (emit, [event]) => {
        events.add(`${name} ${String(event)}`);
        return emit();
      });
    }
    req.resume();
    res.setTimeout(10, () => res.end('ok'));
  });
  const client = await rawClient(site);
  client.send('POST / HTTP/1.1', 'Host: x', 'Content-Length: 2');
  client.socket.write('ab');
  await until(() => client.received.endsWith('ok'));
  expect([...events]).toEqual(
    expect.arrayContaining(['request data', 'request end', 'socket timeout']),
  );
});
