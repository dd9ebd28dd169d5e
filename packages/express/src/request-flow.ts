import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { isUnderLock, type Lock } from '@holdfast/core';

/** What the running code was started by, besides the locks that it runs under. */
interface RequestFlow {
  /** A request, or a connection for all requests on it. */
  readonly origin: object;
  /** Whether it was a time-out, which may run under a lock and is no part of the work. */
  readonly isTimeOut: boolean;
}

const flows = new AsyncLocalStorage<RequestFlow>();
let marking = false;

/** Marks all that requests start from now on, with the first call. */
export function markRequests(): void {
  if (marking) return;
  marking = true;
  // Published before any listener of the server runs, and in its context.
  subscribe('http.server.request.start', (message) => {
    const { request } = message as { request: IncomingMessage };
    flows.enterWith({ origin: request, isTimeOut: false });
  });
}

/** Runs what a time-out of a request, or of a connection, does. */
export function runAsTimeOut<T>(origin: object, work: () => T): T {
  return flows.run({ origin, isTimeOut: true }, work);
}

/** Whether the running code is the work under this lock, or was started by it. */
export function isWorkUnder(lock: Lock): boolean {
  return isUnderLock(lock) && flows.getStore()?.isTimeOut !== true;
}

/**
 * Whether a request itself started the running code, and not the work under its lock. Code of which
 * nothing is known, as an event's listener in another context, is taken for the work.
 */
export function isBesideWork(req: IncomingMessage, lock: Lock): boolean {
  const flow = flows.getStore();
  if (flow === undefined || (flow.origin !== req && flow.origin !== req.socket)) return false;
  return flow.isTimeOut || !isUnderLock(lock);
}
