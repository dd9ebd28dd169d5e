import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createLocker, memoryStore, type LockerOptions, type LockStore } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import { faultyStore, virtualClock } from '@holdfast/testing';
import express, { type Response as ExpressResponse } from 'express';
import { expect, onTestFinished, vi } from 'vitest';

export { express };

/** The major version of Express that these tests run on. */
export const MAJOR =
  typeof (express as { application: { del?: unknown } }).application.del === 'function' ? 4 : 5;

export interface Site {
  readonly server: Server;
  readonly port: number;
  readonly url: string;
}

/** An application on a port of its own, until the test ends. */
export async function serve(app: express.Express): Promise<Site> {
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `http://127.0.0.1:${port}` };
}

/** A locker whose time the test moves, on a store that fails when the test says so. */
export function testLocker(options: LockerOptions = {}) {
  const clock = virtualClock();
  const store = faultyStore(memoryStore({ clock }));
  const locker = createLocker({ store, clock, ...options });
  onTestFinished(() => locker.close());
  return { clock, store, locker };
}

/** A locker by the real clock. */
export function realLocker(store: LockStore = memoryStore(), options: LockerOptions = {}) {
  const locker = createLocker({ store, ...options });
  onTestFinished(() => locker.close());
  return locker;
}

export const post = (url: string, init: RequestInit = {}): Promise<Response> =>
  fetch(url, { method: 'POST', ...init });

/** Something that a test waits for or lets happen. */
export interface Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Waits until something is true. */
export const until = (check: () => boolean | Promise<boolean>): Promise<void> =>
  vi.waitFor(
    async () => {
      if (!(await check())) throw new Error('It did not become true.');
    },
    { timeout: 10_000, interval: 5 },
  );

/** A connection on which a test says every byte itself. */
export interface RawClient {
  readonly socket: Socket;
  /** What the server has sent so far. */
  readonly received: string;
  send(...lines: string[]): void;
}

export async function rawClient(site: Pick<Site, 'port'>): Promise<RawClient> {
  const socket = connect(site.port, '127.0.0.1');
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => (received += chunk));
  socket.on('error', () => {});
  await once(socket, 'connect');
  onTestFinished(() => {
    socket.destroy();
  });
  return {
    socket,
    get received() {
      return received;
    },
    send: (...lines) => socket.write([...lines, '', ''].join('\r\n')),
  };
}

/** A store that confirms releases only when the test says so; `releasing` once it was asked to. */
export function tardyStore(store: LockStore = memoryStore()) {
  const asked = deferred();
  const confirmed = deferred();
  const release: LockStore['release'] = async (request) => {
    asked.resolve();
    await confirmed.promise;
    return store.release(request);
  };
  const tardy = new Proxy(store, {
    get: (target, name) => {
      if (name === 'release') return release;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { store: tardy, releasing: asked.promise, confirm: () => confirmed.resolve() };
}

/** A locked route on a store that confirms releases when it is told to. */
export async function tardySite(
  answer: (res: ExpressResponse) => void,
  options: { releaseTimeout?: number } = {},
) {
  const { store, releasing, confirm } = tardyStore();
  const locker = realLocker(store);
  // Before the locker is closed, which waits for it.
  onTestFinished(confirm);
  const app = express();
  app.get('/ping', (_req, res) => res.send('pong'));
  const lock = lockRoute({ locker, key: 'k', releaseTimeout: 60_000, ...options });
  app.all('/pay', lock, (_req, res) => answer(res));
  const site = await serve(app);
  /** Another connection's round trip, during which all that is on its way arrives. */
  const ping = async () => expect(await (await fetch(`${site.url}/ping`)).text()).toBe('pong');
  return { site, locker, releasing, confirm, ping };
}
