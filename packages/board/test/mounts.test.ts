import 'reflect-metadata';
import { serve as serveHono } from '@hono/node-server';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import express from 'express';
import fastify, { type FastifyInstance } from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { toExpress, toFastify, toHono, toKoa, toNest, type Board } from '../src/index.ts';
import { GUARD_HEADER } from '../src/protocol.ts';
import { makeBoard, makeLocker } from './kit.ts';

@Module({})
class AppModule {}

async function started(server: Server): Promise<string> {
  if (!server.listening) await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What a server answers to these lines, as the first line of it. */
async function statusLine(url: string, ...lines: string[]): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write([...lines, '', ''].join('\r\n'));
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.includes('\r\n')) break;
  }
  return text.slice(0, text.indexOf('\r\n'));
}

/** Each serves the board at /ops/locks and something of its own at /health. */
const frameworks: Record<string, (board: Board) => Promise<string>> = {
  express: async (board) => {
    const app = express();
    // Which reads the body of a release before the board does.
    app.use(express.json());
    app.use('/ops/locks', toExpress(board));
    app.get('/health', (_, res) => void res.send('fine'));
    return started(app.listen(0, '127.0.0.1'));
  },
  'express without a parser': async (board) => {
    const app = express();
    app.use('/ops/locks', toExpress(board));
    app.get('/health', (_, res) => void res.send('fine'));
    return started(app.listen(0, '127.0.0.1'));
  },
  fastify: async (board) => {
    const app = fastify({ forceCloseConnections: true });
    await app.register(toFastify(board), { prefix: '/ops/locks' });
    app.get('/health', () => 'fine');
    onTestFinished(() => app.close());
    return app.listen({ port: 0, host: '127.0.0.1' });
  },
  hono: async (board) => {
    const app = new Hono();
    app.all('/ops/locks/*', toHono(board));
    app.get('/health', (context) => context.text('fine'));
    return started(serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server);
  },
  koa: async (board) => {
    const app = new Koa();
    app.use(toKoa(board, '/ops/locks'));
    app.use((context) => {
      context.body = 'fine';
    });
    return started(app.listen(0, '127.0.0.1'));
  },
  nest: async (board) => {
    const app = await NestFactory.create(AppModule, { logger: false, forceCloseConnections: true });
    app.use('/ops/locks', toNest(board));
    app.use('/health', (_: unknown, res: { end: (text: string) => void }) => res.end('fine'));
    await app.listen(0, '127.0.0.1');
    onTestFinished(() => app.close());
    return started(app.getHttpServer() as Server);
  },
};

describe.each(Object.entries(frameworks))('mounted in %s', (_name, mount) => {
  test('the page, its assets and its list are served below the mount, and nothing else is touched', async () => {
    const locker = makeLocker();
    await locker.lock('order:42');
    const url = await mount(makeBoard({ lockers: locker }));
    const page = await fetch(`${url}/ops/locks/`);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await page.text()).toContain('./app.js');
    expect((await fetch(`${url}/ops/locks/app.js`)).headers.get('content-type')).toContain(
      'javascript',
    );
    expect(await (await fetch(`${url}/ops/locks/api/locks?filter=order`)).json()).toMatchObject({
      locks: [{ key: 'order:42' }],
    });
    expect(await (await fetch(`${url}/health`)).text()).toBe('fine');
  });

  test.each(['Host: [', 'Host: a b', 'Host: name:word@a', 'X-No: host'])(
    'a client that does not say where it is is answered: %s',
    async (header) => {
      const url = await mount(makeBoard({ lockers: makeLocker() }));
      const line = await statusLine(url, 'GET /ops/locks/ HTTP/1.0', header);
      expect(line).toMatch(/^HTTP\/1\.1 (200|400) /);
    },
  );

  test('a method that a Web request cannot have is refused', async () => {
    const url = await mount(makeBoard({ lockers: makeLocker() }));
    const line = await statusLine(url, 'TRACE /ops/locks/ HTTP/1.1', 'Host: a');
    // Hono answers by itself.
    expect(line).toMatch(/^HTTP\/1\.1 (400|404|405) /);
  });

  test('a client that asks for a whole address, as of a proxy, is answered', async () => {
    const locker = makeLocker();
    await locker.lock('order:42');
    const url = await mount(makeBoard({ lockers: locker }));
    for (const path of ['/', '/app.js', '/api/locks?filter=order', '/api/lock?id=order:42']) {
      const line = `GET http://example.com/ops/locks${path} HTTP/1.1`;
      expect(await statusLine(url, line, 'Host: example.com')).toMatch(/ 200 /);
    }
  });

  test('without the slash at the end one is sent there', async () => {
    const url = await mount(makeBoard({ lockers: makeLocker() }));
    const page = await fetch(`${url}/ops/locks`);
    expect(page.status).toBe(200);
    expect(page.url).toBe(`${url}/ops/locks/`);
  });

  test('events are streamed, and a viewer who leaves is forgotten', async () => {
    const locker = makeLocker();
    const url = await mount(makeBoard({ lockers: locker }));
    const leaving = new AbortController();
    const response = await fetch(`${url}/ops/locks/api/events`, { signal: leaving.signal });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    const until = async (wanted: RegExp): Promise<void> => {
      while (!wanted.test(text)) {
        const { value } = await reader.read();
        text += new TextDecoder().decode(value);
      }
    };
    await until(/"held":0/);
    await locker.lock('late');
    await until(/"event":"acquired".*"late"/);
    await until(/"held":1/);
    leaving.abort();
  });

  test('a release is carried out, with what the framework knows of the visitor', async () => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const natives: unknown[] = [];
    const url = await mount(
      makeBoard({
        lockers: locker,
        authorize: (request, _action, { native }) => {
          natives.push(native);
          return request.headers.get('authorization') === 'operator';
        },
      }),
    );
    const ask = (headers: Record<string, string>): Promise<Response> =>
      fetch(`${url}/ops/locks/api/release`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', [GUARD_HEADER]: '1', ...headers },
        body: JSON.stringify({ locker: 'locks', id: 'order:42', reason: 'INC-7' }),
      });
    expect((await ask({})).status).toBe(403);
    expect(lock.state).toBe('held');
    expect(await (await ask({ authorization: 'operator' })).json()).toEqual({ released: true });
    expect(lock.state).toBe('lost');
    expect(natives.every((native) => typeof native === 'object')).toBe(true);
  });
});

describe('in Fastify', () => {
  const inFastify = async (prefixes: string[], options: object = {}) => {
    const app = fastify({ ...options, forceCloseConnections: true });
    const made = makeBoard({ lockers: makeLocker() });
    const nest = async (at: FastifyInstance, [prefix = '', ...inner]: string[]): Promise<void> => {
      if (inner.length === 0) await at.register(toFastify(made), { prefix });
      else await at.register((below) => nest(below, inner), { prefix });
    };
    await nest(app, prefixes);
    onTestFinished(() => app.close());
    return app;
  };

  test.each([
    ['a plugin with a prefix of its own', ['/ops', '/locks'], '/ops/locks'],
    ['a prefix with a parameter', ['/tenants/:tenant/locks'], '/tenants/7/locks'],
    ['upper case', ['/ops/locks'], '/OPS/Locks'],
  ])('it is found below %s', async (_, prefixes, path) => {
    const app = await inFastify(prefixes, { routerOptions: { caseSensitive: false } });
    expect((await app.inject(`${path}/`)).headers['content-type']).toContain('text/html');
    expect((await app.inject(`${path}/api/locks?limit=1`)).statusCode).toBe(200);
    expect((await app.inject(`${path}/none`)).statusCode).toBe(404);
    expect((await app.inject(`${path}/none/api/locks`)).statusCode).toBe(404);
    const page = await app.inject(path);
    const location = new URL(page.headers.location as string, `http://ops.example${path}`);
    expect([page.statusCode, location.pathname]).toEqual([308, `${path}/`]);
  });
});

describe('over HTTP/2', () => {
  const servers: Record<string, (board: Board) => Promise<number>> = {
    fastify: async (made) => {
      const app = fastify({ http2: true });
      await app.register(toFastify(made), { prefix: '/ops/locks' });
      onTestFinished(() => app.close());
      await app.listen({ port: 0, host: '127.0.0.1' });
      return (app.server.address() as AddressInfo).port;
    },
    koa: async (made) => {
      const app = new Koa();
      app.use(toKoa(made, '/ops/locks'));
      const server = createHttp2Server(app.callback() as never).listen(0, '127.0.0.1');
      await once(server, 'listening');
      onTestFinished(() => void server.close());
      return (server.address() as AddressInfo).port;
    },
  };

  test.each(Object.entries(servers))('it is served by %s', async (_name, listen) => {
    const port = await listen(makeBoard({ lockers: makeLocker() }));
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    onTestFinished(() => session.destroy());
    for (const path of ['/ops/locks/', '/ops/locks/api/locks', '/ops/locks/api/events']) {
      const stream = session.request({ ':path': path });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      expect(headers[':status']).toBe(200);
      stream.close();
    }
  });
});
