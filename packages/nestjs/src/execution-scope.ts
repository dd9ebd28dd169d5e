import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext } from '@nestjs/common';
import { shared } from './names.ts';

const contexts = shared('contexts', () => new AsyncLocalStorage<ExecutionContext>());

/** Runs work as part of what a handler of a route, a message or a query does. */
export function inExecution<T>(context: ExecutionContext, work: () => T): T {
  return contexts.run(context, work);
}

/** Of the handler that the calling code is part of. */
export function currentExecution(): ExecutionContext | undefined {
  return contexts.getStore();
}
