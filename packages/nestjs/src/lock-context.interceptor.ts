import 'reflect-metadata';
import {
  Inject,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  type Type,
} from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, type ModulesContainer } from '@nestjs/core';
import { catchError, throwError, type Observable } from 'rxjs';
import { inExecution } from './execution-scope.ts';
import { LockHttpException } from './lock-http.exception.ts';
import { MODULE_RUNTIME } from './names.ts';
import type { LockRuntime } from './runtime.ts';

/** Where Nest keeps the filters of a class or a method. */
const FILTERS = '__exceptionFilters__';
/** By which Nest knows a handler of messages, and one of sockets. */
const PATTERNS = ['microservices:pattern', 'websockets:message_mapping'];

const PROBLEM_JSON = 'application/problem+json';

/**
 * Around every handler: tells the locks inside which execution context they are in, and maps the errors of
 * locks that were taken by hand. In HTTP it adds the headers of a refusal, `Retry-After`, to the response.
 */
export class LockContextInterceptor implements NestInterceptor {
  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(ApplicationConfig) private readonly config: ApplicationConfig,
    @Inject(MODULE_RUNTIME) private readonly runtime: LockRuntime,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const handled = inExecution(context, () => next.handle());
    return handled.pipe(catchError((error: unknown) => throwError(() => this.map(error, context))));
  }

  private map(error: unknown, context: ExecutionContext): unknown {
    const mapped = this.runtime.exceptions.map(error, { context, fromRequest: true });
    if (mapped instanceof LockHttpException) this.tell(mapped, context);
    return mapped;
  }

  private tell(exception: LockHttpException, context: ExecutionContext): void {
    const adapter = this.host.httpAdapter;
    const response: unknown = context.switchToHttp().getResponse();
    if (adapter.isHeadersSent(response)) return;
    for (const [name, value] of Object.entries(exception.headers)) {
      adapter.setHeader(response, name, value);
    }
    // With a filter, the body is the filter's.
    if (this.hasFilters(context)) return;
    const setType = (): void => adapter.setHeader(response, 'Content-Type', PROBLEM_JSON);
    if (adapter.getType() === 'express') onSerialized(exception.getResponse() as object, setType);
    else setType();
  }

  private hasFilters(context: ExecutionContext): boolean {
    const { config } = this;
    return (
      config.getGlobalFilters().length + config.getGlobalRequestFilters().length > 0 ||
      [context.getClass(), context.getHandler()].some((on) => Reflect.hasMetadata(FILTERS, on))
    );
  }
}

/**
 * Calls `then` when a body is made into JSON. Nest 11 on Express replaces any type of an error's body that was
 * set before, and logs a warning; Express itself, which makes the JSON, keeps it.
 */
function onSerialized(body: object, then: () => void): void {
  const toJSON = (): object => {
    then();
    return { ...body };
  };
  Object.defineProperty(body, 'toJSON', { value: toJSON, configurable: true });
}

/** For handlers that no global interceptor reaches. */
const contextOnly: NestInterceptor = {
  intercept: (context, next) => inExecution(context, () => next.handle()),
};

const reached = new WeakSet<object>();

/**
 * The same for handlers of messages and of sockets. Global interceptors do not reach those of a hybrid
 * application, unless it says so, nor gateways before Nest 12.
 */
export function reachMessageHandlers(modules: ModulesContainer): void {
  for (const { controllers, providers } of modules.values()) {
    for (const { metatype } of [...controllers.values(), ...providers.values()]) {
      const prototype: unknown = typeof metatype === 'function' ? metatype.prototype : undefined;
      if (typeof prototype !== 'object' || prototype === null || reached.has(prototype)) continue;
      if (!handlesMessages(prototype)) continue;
      reached.add(prototype);
      UseInterceptors(contextOnly)(metatype as Type);
    }
  }
}

function handlesMessages(prototype: object): boolean {
  let current: object | null = prototype;
  for (; current !== null; current = Object.getPrototypeOf(current) as object | null) {
    for (const { value } of Object.values(Object.getOwnPropertyDescriptors(current))) {
      if (typeof value !== 'function') continue;
      if (PATTERNS.some((pattern) => Reflect.hasMetadata(pattern, value as object))) return true;
    }
  }
  return false;
}
