import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Board } from './board.ts';
import type { BoardContext } from './options.ts';

/** What of a request of Node is used, and of what Express adds to it. */
export interface NodeRequestLike {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly originalUrl?: string | undefined;
  readonly baseUrl?: string | undefined;
  /** Parsed already, perhaps. */
  readonly body?: unknown;
}
/** What of a response of Node is used; it must be one. */
export interface NodeResponseLike {
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(): unknown;
}

/**
 * For Express, Connect and Nest on Express.
 *
 * @example
 * ```ts
 * app.use('/locks', toExpress(locks));
 * ```
 */
export function toExpress(
  board: Board,
): (request: NodeRequestLike, response: NodeResponseLike, next: (error?: unknown) => void) => void {
  return (request, response, next) => {
    const { originalUrl = request.url ?? '/', body } = request;
    const basePath = request.baseUrl === '' ? undefined : request.baseUrl;
    const asked = webRequest(request, pathOf(originalUrl), body);
    answer(board, asked, response, { basePath, native: request }).catch(next);
  };
}

/** For Nest: `app.use('/locks', toNest(locks))` where the application is made. */
export function toNest(board: Board): ReturnType<typeof toExpress> {
  return toExpress(board);
}

/** What of Fastify is used. */
export interface FastifyLike {
  /** Of all plugins around this one. */
  readonly prefix?: string | undefined;
  route(options: {
    method: string[];
    url: string;
    handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => void;
  }): unknown;
}
export interface FastifyRequestLike {
  readonly raw: NodeRequestLike;
  readonly body?: unknown;
  /** `*`: what the wildcard of the route stands for. */
  readonly params?: unknown;
}
export interface FastifyReplyLike {
  readonly raw: NodeResponseLike & { destroy(error?: Error): unknown };
  hijack(): unknown;
}

/**
 * A plugin for Fastify.
 *
 * @example
 * ```ts
 * app.register(toFastify(locks), { prefix: '/locks' });
 * ```
 */
export function toFastify(
  board: Board,
): (app: FastifyLike, options: { prefix?: string | undefined }) => Promise<void> {
  return async (app) => {
    const handler = (request: FastifyRequestLike, reply: FastifyReplyLike): void => {
      const url = pathOf(request.raw.url ?? '/');
      const asked = webRequest(request.raw, url, request.body);
      // From here on Fastify answers no error any more.
      reply.hijack();
      const context = { basePath: fastifyBase(app, request, url), native: request };
      answer(board, asked, reply.raw, context).catch((error: unknown) =>
        reply.raw.destroy(error as Error),
      );
    };
    const method = ['GET', 'POST'];
    for (const url of ['/', '/*']) app.route({ method, url, handler });
  };
}

/**
 * Where the board is for this request. The prefix alone would not tell: it may have parameters, and be
 * matched in upper or lower case.
 */
function fastifyBase(
  { prefix }: FastifyLike,
  { params }: FastifyRequestLike,
  url: string,
): string | undefined {
  const [path = ''] = url.split('?', 1);
  const { '*': rest } = (params ?? {}) as { '*'?: string };
  if (rest === undefined) return path.replace(/\/$/, '');
  return path.endsWith(`/${rest}`) ? path.slice(0, -rest.length - 1) : prefix;
}

/**
 * For Hono.
 *
 * @example
 * ```ts
 * app.all('/locks/*', toHono(locks));
 * ```
 */
export function toHono(
  board: Board,
): (context: { readonly req: { readonly raw: Request } }) => Promise<Response> {
  return (context) => board(context.req.raw, { native: context });
}

/** What of Koa is used. */
export interface KoaContextLike {
  readonly req: NodeRequestLike;
  readonly res: NodeResponseLike;
  readonly path: string;
  readonly request: object;
  respond?: boolean | undefined;
}

/**
 * For Koa, below `basePath`.
 *
 * @example
 * ```ts
 * app.use(toKoa(locks, '/locks'));
 * ```
 */
export function toKoa(
  board: Board,
  basePath: string,
): (context: KoaContextLike, next: () => Promise<unknown>) => Promise<void> {
  const base = basePath.replace(/\/+$/, '');
  return async (context, next) => {
    const { path, req, res, request } = context;
    if (path !== base && !path.startsWith(`${base}/`)) {
      await next();
      return;
    }
    context.respond = false;
    const { body } = request as { body?: unknown };
    await answer(board, webRequest(req, pathOf(req.url ?? '/'), body), res, {
      basePath: base,
      native: context,
    });
  };
}

/** What a client asks for, which as if of a proxy may be a whole address. */
function pathOf(target: string): string {
  return target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '');
}

/** @param body what a parser has made of it; else it is read from the request */
function webRequest(asked: NodeRequestLike, path: string, body: unknown): Request {
  const request = asked as unknown as IncomingMessage;
  const { headers, socket } = request;
  const method = methodOf(request);
  const scheme = (socket as Socket & { encrypted?: boolean }).encrypted === true ? 'https' : 'http';
  const url = new URL(`${scheme}://${hostOf(headers)}`);
  const query = path.indexOf('?');
  url.pathname = query === -1 ? path : path.slice(0, query);
  url.search = query === -1 ? '' : path.slice(query);
  const list = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    // What HTTP/2 says in its first line is no header.
    value === undefined || name.startsWith(':')
      ? []
      : [[name, Array.isArray(value) ? value.join(', ') : value]],
  );
  const init = { method, headers: list };
  if (method === 'GET' || method === 'HEAD') return new Request(url, init);
  if (body !== undefined && request.readableEnded) {
    return new Request(url, { ...init, body: JSON.stringify(body) });
  }
  const stream = ReadableStream.from(request) as unknown as ReadableStream<Uint8Array>;
  return new Request(url, { ...init, body: stream, duplex: 'half' });
}

/** A `Request` refuses TRACE. To the board it is one of the methods that it does not know. */
function methodOf({ method = 'GET' }: IncomingMessage): string {
  return method === 'TRACE' ? 'OPTIONS' : method;
}

/** A client may send anything for it, and a `Request` takes no name and password. */
function hostOf(headers: IncomingMessage['headers']): string {
  const host = headers.host ?? headers[':authority'];
  const isHost = typeof host === 'string' && !host.includes('@') && URL.canParse(`http://${host}`);
  return isHost ? host : 'localhost';
}

async function answer(
  board: Board,
  request: Request,
  given: NodeResponseLike,
  context: BoardContext,
): Promise<void> {
  const response = given as ServerResponse;
  const { status, headers, body } = await board(request, context);
  response.writeHead(status, Object.fromEntries(headers));
  if (body === null || request.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  const reader = body.getReader();
  const gone = (): void => void reader.cancel().catch(() => {});
  response.once('close', gone);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!response.write(value)) {
      await new Promise<void>((resolve) => {
        response.once('drain', resolve).once('close', resolve);
      });
    }
  }
  response.off('close', gone);
  response.end();
}
