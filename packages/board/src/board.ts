import { createHash } from 'node:crypto';
import { keyNames } from './key-names.ts';
import { Locks } from './locks.ts';
import {
  checkBoardOptions,
  namedLockers,
  type BoardContext,
  type BoardOptions,
} from './options.ts';
import { pictureOf } from './picture.ts';
import { json, problem, reply, withSlash } from './replies.ts';
import { Releases } from './releases.ts';
import { Stream } from './stream.ts';
import { Sweep } from './sweep.ts';
import { Timeline } from './timeline.ts';
import { script, style } from './ui-bundle.ts';

/** Answers requests for the board, wherever it is mounted. */
export interface Board {
  (request: Request, context?: BoardContext): Promise<Response>;
  /** The same, for what wants an object with `fetch`. */
  fetch(request: Request, context?: BoardContext): Promise<Response>;
  /** Ends the connections of those who look, and stops listening to the lockers. */
  close(): void;
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Locks · Holdfast</title>
<link rel="icon" href="./icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="./app.css">
<script type="module" src="./app.js"></script>
</head>
<body><div id="app"></div><noscript>This page needs JavaScript.</noscript></body>
</html>
`;

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect x="2" y="7" width="12" height="8" rx="2" fill="#5b8def"/><path d="M5 7V5a3 3 0 0 1 6 0v2" fill="none" stroke="#5b8def" stroke-width="2"/></svg>';

const ROUTES = [
  '/app.js',
  '/app.css',
  '/icon.svg',
  '/api/events',
  '/api/locks',
  '/api/lock',
  '/api/release',
];

/**
 * A live page of the locks of your services: who holds, who waits, what is stuck.
 *
 * @throws TypeError, LockArgumentError for an option that does not exist
 * @example
 * ```ts
 * const locks = board({ lockers: locker, authorize: (request) => isOperator(request) });
 * app.use('/locks', toExpress(locks));
 * ```
 */
export function board(options: BoardOptions): Board {
  checkBoardOptions(options);
  const lockers = namedLockers(options.lockers);
  const names = keyNames(options.redact, options.secret);
  const timeline = new Timeline(lockers, names.shown);
  const sweeps = [...lockers].map(([name, locker]) => new Sweep(name, locker));
  const stream = new Stream({
    refresh: async () => void (await Promise.all(sweeps.map((sweep) => sweep.step()))),
    picture: () => pictureOf(sweeps, timeline, names),
    timelineSince: (number) => timeline.since(number),
  });
  const releases = new Releases(lockers, names, timeline, options);
  const locks = new Locks(lockers, names, releases);

  const answer = async (request: Request, context: BoardContext = {}): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    const route = routeOf(pathname, context.basePath ?? options.basePath);
    if (route === undefined) return problem(404, 'There is nothing here.');
    if (route === '') return withSlash(pathname);
    if (route === '/api/release') {
      if (request.method !== 'POST') return methods('POST');
      return releases.answer(request, context);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return methods('GET, HEAD');
    switch (route) {
      case '/':
        return asset(request, PAGE, 'text/html; charset=utf-8');
      case '/app.js':
        return asset(request, script, 'text/javascript; charset=utf-8');
      case '/app.css':
        return asset(request, style, 'text/css; charset=utf-8');
      case '/icon.svg':
        return asset(request, ICON, 'image/svg+xml');
      case '/api/events':
        return events(request, stream);
      case '/api/locks':
        return json(await locks.page(searchParams));
      default: {
        const details = await locks.details(searchParams, request, context);
        return details === undefined ? problem(404, 'It is free.') : json(details);
      }
    }
  };
  const guarded = async (request: Request, context?: BoardContext): Promise<Response> => {
    try {
      return await answer(request, context);
    } catch (error) {
      const { code, message, statusCode } = error as Error & { code?: string; statusCode?: number };
      if (code === 'LOCK_INVALID_ARGUMENT') return problem(400, message);
      // Of a store, or of the application: the message of the first is for operators.
      if (code?.startsWith('LOCK') === true) return problem(statusCode ?? 503, message);
      return problem(500, 'The board failed.');
    }
  };
  return Object.assign(guarded, {
    fetch: guarded,
    close: () => {
      stream.close();
      timeline.close();
    },
  });
}

/** What is asked for, from the slash at the end of the base path; `''` where that slash is missing. */
function routeOf(pathname: string, basePath: string | undefined): string | undefined {
  if (basePath === undefined) {
    const known = ROUTES.find((route) => pathname.endsWith(route));
    return known ?? (pathname.endsWith('/') ? '/' : '');
  }
  const base = basePath.replace(/\/+$/, '');
  if (!pathname.startsWith(base)) return undefined;
  const route = pathname.slice(base.length);
  return route === '' || route === '/' || ROUTES.includes(route) ? route : undefined;
}

function asset(request: Request, body: string, type: string): Response {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 20)}"`;
  const caching = { etag, 'cache-control': 'no-cache' };
  if (request.headers.get('if-none-match') === etag) return reply(null, type, caching, 304);
  return reply(request.method === 'HEAD' ? null : body, type, caching);
}

function events(request: Request, stream: Stream): Response {
  const type = 'text/event-stream';
  if (request.method === 'HEAD') return reply(null, type);
  const body = stream.open();
  if (body === undefined) return problem(503, 'Too many look at the board already.');
  // Not held back by proxies and compression.
  return reply(body, type, {
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
}

function methods(allow: string): Response {
  const response = problem(405, `Only ${allow}.`);
  response.headers.set('allow', allow);
  return response;
}
