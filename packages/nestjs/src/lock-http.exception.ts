import { STATUS_CODES } from 'node:http';
import { LockAbortedError, LockArgumentError, LockError } from '@holdfast/core';
import { HttpException } from '@nestjs/common';

/** How a refusal is answered over HTTP. */
export interface HttpAnswerOptions {
  /**
   * The HTTP status where the lock is busy.
   *
   * @default 423
   */
  statusCode?: number | undefined;
  /**
   * `Retry-After` where the lock is busy, in whole seconds.
   *
   * @default 1
   */
  retryAfter?: number | undefined;
}

/** By which core tells its errors apart in all its copies. */
const BRAND: symbol = Symbol.for('holdfast.error');
/** For the logs of a server whose client has closed the connection; nobody receives it. */
const CLIENT_CLOSED_REQUEST = 499;

/** What a client learns, by `code`. Neither says anything about the key. */
const DETAILS: Readonly<Record<string, string>> = {
  LOCK_NOT_ACQUIRED: 'Another request holds the lock. Try again later.',
  LOCK_QUEUE_FULL: 'Too many requests are waiting for the lock. Try again later.',
  LOCK_STORE_UNAVAILABLE: 'Locks are unavailable at the moment. Try again later.',
  LOCKER_CLOSED: 'The service is shutting down. Try again later.',
  LOCK_INVALID_ARGUMENT: 'The request does not name what to lock.',
  LOCK_ABORTED: 'The client closed the connection.',
};

/**
 * A lock's error in an HTTP request, as the exception filters of Nest know it: a busy lock is a 423, a full
 * queue, an unavailable store and a closed locker are a 503, and a key that the request made unusable is a
 * 400. The body is a problem detail (RFC 9457) with the error's `code`; the lock error is the `cause`.
 *
 * It also counts as that lock error for `instanceof` and `@Catch()`, and has its properties.
 *
 * @example
 * ```ts
 * @Catch(LockHttpException)
 * export class BusyFilter implements ExceptionFilter {
 *   catch(exception: LockHttpException, host: ArgumentsHost) {
 *     host.switchToHttp().getResponse().status(exception.getStatus()).send(exception.code);
 *   }
 * }
 * ```
 */
export class LockHttpException extends HttpException {
  /** Of the lock error. */
  readonly code: string;
  /** For the response. */
  readonly headers: Readonly<Record<string, string>>;
  declare readonly cause: LockError;

  constructor(error: LockError, status: number, headers: Readonly<Record<string, string>> = {}) {
    const { code } = error;
    const detail = DETAILS[code] ?? 'The lock was not acquired.';
    const seconds = headers['Retry-After'];
    const retryAfter = seconds === undefined ? {} : { retryAfter: Number(seconds) };
    const title = STATUS_CODES[status] ?? 'Client Closed Request';
    const problem = { type: 'about:blank', title, status, detail, message: detail, code };
    super({ ...problem, ...retryAfter }, status, { cause: error });
    this.name = 'LockHttpException';
    this.message = error.message;
    this.code = code;
    this.headers = headers;
    // Logs print what is enumerable: the key, among others, is only for code that asks for it.
    const hidden = new Map<PropertyKey, unknown>([
      ['cause', error],
      ['options', { cause: error }],
      ['statusCode', status],
    ]);
    for (const name of [BRAND, 'key', ...Object.getOwnPropertyNames(error)]) {
      if (!(name in this)) hidden.set(name, Reflect.get(error, name));
    }
    for (const [name, value] of hidden) {
      Object.defineProperty(this, name, { value, configurable: true, enumerable: false });
    }
  }
}

/**
 * The exception for a lock's error in an HTTP request; undefined if it is no refusal, as the loss of a lock
 * or a re-entry.
 */
export function httpExceptionOf(
  error: LockError,
  { statusCode = 423, retryAfter = 1 }: HttpAnswerOptions,
): LockHttpException | undefined {
  if (error instanceof LockAbortedError) return new LockHttpException(error, CLIENT_CLOSED_REQUEST);
  if (error instanceof LockArgumentError) return new LockHttpException(error, 400);
  if (error.code === 'LOCK_NOT_ACQUIRED') {
    return new LockHttpException(error, statusCode, { 'Retry-After': `${Math.ceil(retryAfter)}` });
  }
  const { status, headers } = error as Partial<LockHttpException> & { status?: unknown };
  return typeof status === 'number' ? new LockHttpException(error, status, headers) : undefined;
}

/** Whether it is a lock's error that nothing has turned into an exception of Nest's yet. */
export function isBareLockError(error: unknown): error is LockError {
  return error instanceof LockError && !(error instanceof HttpException);
}
