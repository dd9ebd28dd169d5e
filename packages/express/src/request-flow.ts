import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';

/**
 * On whose behalf code runs: a request, and the routes that hold a lock around the code, innermost first.
 * Code that a request started before its lock, such as a time-out, has the request and not the route.
 */
interface RequestFlow {
  /** A request, or a connection for all requests on it. */
  readonly origin: object;
  /** Absent where the flow of a request begins. */
  readonly route?: object;
  readonly outer?: RequestFlow | undefined;
}

const flows = new AsyncLocalStorage<RequestFlow>();
let marking = false;

/** Marks all that requests start from now on, with the first call. */
export function markRequests(): void {
  if (marking) return;
  marking = true;
  // Published before any listener of the server runs, and in its context.
  subscribe('http.server.request.start', (message) => {
    flows.enterWith({ origin: (message as { request: IncomingMessage }).request });
  });
}

/** Runs the work of a route that holds a lock. */
export function runInRoute<T>(req: IncomingMessage, route: object, work: () => T): T {
  return flows.run({ origin: req, route, outer: flows.getStore() }, work);
}

/** Runs what belongs to a request or to a connection, and to none of its routes. */
export function runOutsideRoutes<T>(origin: object, work: () => T): T {
  return flows.run({ origin }, work);
}

export function isInRoute(route: object, flow = flows.getStore()): boolean {
  for (let at = flow; at !== undefined; at = at.outer) if (at.route === route) return true;
  return false;
}

/**
 * Whether a request itself started the running code, and not the work of this route. Code of which
 * nothing is known, as an event's listener in another context, is taken for the route's.
 */
export function isBesideRoute(req: IncomingMessage, route: object): boolean {
  const flow = flows.getStore();
  if (flow === undefined || isInRoute(route, flow)) return false;
  return flow.origin === req || flow.origin === req.socket;
}
