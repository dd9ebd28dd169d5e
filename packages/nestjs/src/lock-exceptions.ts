import { LockAbortedError, LockArgumentError, type LockError } from '@holdfast/core';
import { Logger, type ExecutionContext } from '@nestjs/common';
import type { LockModuleSettings } from './lock-module.options.ts';
import {
  httpExceptionOf,
  isBareLockError,
  LockHttpException,
  type HttpAnswerOptions,
} from './lock-http.exception.ts';
import { shared } from './names.ts';

/** Where a lock's error comes from. */
export interface ErrorOrigin {
  /** Absent outside of the handlers of requests, messages and queries. */
  readonly context: ExecutionContext | undefined;
  /** How the decorator answers HTTP requests. */
  readonly answer?: HttpAnswerOptions | undefined;
  /** Whether bad arguments may come from the request, and not only from the code. */
  readonly fromRequest: boolean;
}

/** Errors that are thrown as they are, because an `exceptionFactory` or the code behind them wants so. */
const final = shared('final errors', () => new WeakSet<LockError>());
/** The most warnings about bad requests of one module: a client must not be able to fill a log. */
const MOST_WARNINGS = 100;

/** What a module's locks throw in place of their own errors. */
export class LockExceptions {
  private readonly settings: Pick<LockModuleSettings, 'exceptionFactory'> & HttpAnswerOptions;
  private readonly warnings = new Set<string>();
  /** Errors that the `exceptionFactory` left as they are: they come here again as they leave their handler. */
  private readonly left = new WeakSet<LockError>();

  constructor(settings: Pick<LockModuleSettings, 'exceptionFactory'> & HttpAnswerOptions) {
    this.settings = settings;
  }

  /**
   * Maps an error: what the `exceptionFactory` makes of it, else an `HttpException` in an HTTP request, else
   * the error itself. Errors that are not of a lock stay what they are.
   */
  map(error: unknown, { context, answer, fromRequest }: ErrorOrigin): unknown {
    if (!isBareLockError(error) || final.has(error)) return error;
    const { exceptionFactory, ...defaults } = this.settings;
    // That a client has left is nobody's failure.
    const isForFactory = !(error instanceof LockAbortedError) && !this.left.has(error);
    if (exceptionFactory !== undefined && isForFactory) {
      const made = exceptionFactory(error, context);
      if (isBareLockError(made)) final.add(made);
      if (made !== undefined) return made;
      // Without a context it may not have known what to make of it.
      if (context !== undefined) this.left.add(error);
    }
    if (context?.getType() !== 'http') return error;
    if (error instanceof LockArgumentError && !fromRequest) {
      final.add(error);
      return error;
    }
    const exception = httpExceptionOf(error, {
      statusCode: answer?.statusCode ?? defaults.statusCode,
      retryAfter: answer?.retryAfter ?? defaults.retryAfter,
    });
    if (exception?.getStatus() === 400) this.warn(exception, context);
    return exception ?? error;
  }

  /** It may be the code's fault all the same, which the answer to the client does not tell. */
  private warn({ message }: LockHttpException, context: ExecutionContext): void {
    const handler = `${context.getClass().name}.${context.getHandler().name}`;
    const warning = `${handler} answered 400, because it could not lock: ${message}`;
    if (this.warnings.has(warning) || this.warnings.size >= MOST_WARNINGS) return;
    this.warnings.add(warning);
    new Logger('LockModule').warn(warning);
  }
}
