// A response under a lock is, byte for byte, the response without one.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { lockRoute } from '@holdfast/express';
import type { Express, Request, RequestHandler, Response } from 'express';
import { describe, expect, test } from 'vitest';
import { express, realLocker, serve, type Site } from './kit.ts';

const FILE = fileURLToPath(import.meta.url);
const text = 'ä'.repeat(40_000);

type Answer = (req: Request, res: Response) => unknown;

const answers: Record<string, Answer> = {
  json: (_req, res) => res.json({ ok: true }),
  send: (_req, res) => res.send('<p>hello</p>'),
  'send-buffer': (_req, res) => res.send(Buffer.from('hello')),
  'send-nothing': (_req, res) => res.status(200).send(),
  'send-big': (_req, res) => res.send(text),
  'send-status': (_req, res) => res.sendStatus(202),
  redirect: (_req, res) => res.redirect('/elsewhere'),
  'not-modified': (_req, res) => res.set('ETag', '"1"').status(304).end(),
  'no-content': (_req, res) => res.status(204).end(),
  'no-content-send': (_req, res) => res.status(204).send('dropped'),
  end: (_req, res) => res.end(),
  'end-string': (_req, res) => res.end('hello'),
  'end-buffer': (_req, res) => res.end(Buffer.from('hello')),
  'end-encoded': (_req, res) => res.end('68656c6c6f', 'hex'),
  'end-callback': (_req, res) => new Promise<void>((done) => res.end(done)),
  'end-all': (_req, res) => new Promise<void>((done) => res.end('hällo', 'latin1', done)),
  'write-then-end': (_req, res) => {
    res.write('one ');
    res.write(Buffer.from('two '));
    res.end('three');
  },
  'flushed-headers': (_req, res) => {
    res.flushHeaders();
    res.end('hello');
  },
  'content-length': (_req, res) => {
    res.set('Content-Length', '10');
    res.write('hello');
    res.end('world');
  },
  'no-content-length': (_req, res) => {
    res.set('Content-Length', '5');
    res.removeHeader('Content-Length');
    res.end('hello');
  },
  'write-head': (_req, res) => res.writeHead(201, 'Made', ['X-One', '1', 'X-Two', '2']).end('made'),
  corked: (_req, res) => {
    res.cork();
    res.write('one ');
    res.write('two ');
    res.end('three');
  },
  trailers: (req, res) => {
    // Node refuses trailers without chunks.
    if (req.method === 'HEAD' || req.httpVersion === '1.0') return res.end();
    res.set('Trailer', 'X-Sum');
    res.write('hello');
    res.addTrailers({ 'X-Sum': '5' });
    return res.end();
  },
  'send-file': (_req, res) => res.sendFile(FILE),
  'send-file-range': (req, res) => {
    req.headers.range = 'bytes=0-9';
    res.sendFile(FILE);
  },
  pipe: (_req, res) => Readable.from(['one ', 'two ', text]).pipe(res),
  pipeline: (_req, res) => pipeline(Readable.from(['one ', 'two ', text]), res),
  destroyed: (_req, res) => {
    res.send('bye');
    res.destroy();
  },
  close: (_req, res) => res.set('Connection', 'close').send('bye'),
};

const never = new Set(['close', 'destroyed']);

function site(guard: (answer: Answer) => RequestHandler[]): Promise<Site> {
  const app: Express = express();
  app.use((_req, res, next) => {
    res.sendDate = false;
    next();
  });
  for (const [name, answer] of Object.entries(answers)) app.get(`/${name}`, ...guard(answer));
  return serve(app);
}

/** All that a server sends to a connection that asks so. */
async function bytes(at: Site, requests: string): Promise<string> {
  const socket = connect(at.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(requests);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

/** One response, its chunks joined: how Node cuts them depends on what else is sent at the time. */
interface ParsedResponse {
  readonly head: string;
  readonly body: string;
  readonly trailers: string;
}

/** What a connection has sent, response by response. */
function responses(sent: string): ParsedResponse[] {
  const parsed: ParsedResponse[] = [];
  for (let rest = sent; rest !== '';) {
    const split = rest.indexOf('\r\n\r\n') + 4;
    const head = rest.slice(0, split);
    rest = rest.slice(split);
    const length = /^Content-Length: (\d+)/im.exec(head)?.[1];
    const hasBody = !/^HTTP\/1.1 (204|304)/.test(head);
    let body = '';
    let trailers = '';
    if (/^Transfer-Encoding: chunked/im.test(head)) {
      for (let size = -1; size !== 0;) {
        const line = rest.indexOf('\r\n');
        size = Number.parseInt(rest.slice(0, line), 16);
        body += rest.slice(line + 2, line + 2 + size);
        rest = rest.slice(line + 2 + size + (size > 0 ? 2 : 0));
      }
      const end = rest.startsWith('\r\n') ? 2 : rest.indexOf('\r\n\r\n') + 4;
      trailers = rest.slice(0, end);
      rest = rest.slice(end);
    } else if (hasBody && length !== undefined) {
      body = rest.slice(0, Number(length));
      rest = rest.slice(Number(length));
    }
    parsed.push({ head, body, trailers });
  }
  return parsed;
}

/** Each makes the routes of one site, which all share a lock. */
const forms: Record<string, () => (answer: Answer) => RequestHandler[]> = {
  'the middleware form': () => {
    const lock = lockRoute({ locker: realLocker(), key: 'k', wait: 5_000 });
    return (answer) => [lock, (req, res) => void answer(req, res)];
  },
  'an async handler': () => {
    const lock = lockRoute({ locker: realLocker(), key: 'k', wait: 5_000 });
    return (answer) => [
      lock.handler(async (req, res) => {
        await answer(req, res);
      }),
    ];
  },
  'a callback-style handler': () => {
    const lock = lockRoute({ locker: realLocker(), key: 'k', wait: 5_000 });
    return (answer) => [lock.handler((req, res) => void answer(req, res))];
  },
};

const request = (name: string, method: string, version: string, last: boolean): string =>
  `${method} /${name} HTTP/${version}\r\nHost: x\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;

describe.each(Object.entries(forms))('under %s', (_name, locked) => {
  test.each(Object.keys(answers))('%s', async (name) => {
    const bare = await site((answer) => [(req, res) => void answer(req, res)]);
    const guarded = await site(locked());
    for (const [method, version] of [
      ['GET', '1.1'],
      ['HEAD', '1.1'],
      ['GET', '1.0'],
    ] as const) {
      const asked = request(name, method, version, true);
      const expected = await bytes(bare, asked);
      expect(expected).toMatch(/^HTTP\/1.1 [2-3]/);
      expect(await bytes(guarded, asked)).toBe(expected);
    }
  });

  test('all of them pipelined on one connection', async () => {
    const bare = await site((answer) => [(req, res) => void answer(req, res)]);
    const guarded = await site(locked());
    const names = Object.keys(answers).filter((name) => !never.has(name));
    const asked = [...names, ...names.toReversed()]
      .map((name, index, all) => request(name, 'GET', '1.1', index === all.length - 1))
      .join('');
    const expected = responses(await bytes(bare, asked));
    expect(expected).toHaveLength(names.length * 2);
    expect(expected.map(({ body }) => body)).toContain(readFileSync(FILE, 'latin1'));
    expect(responses(await bytes(guarded, asked))).toEqual(expected);
  });
});
