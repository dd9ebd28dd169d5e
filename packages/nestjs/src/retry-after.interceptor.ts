import { LockError } from '@holdfast/core';
import {
  Inject,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { tap, type Observable } from 'rxjs';

/**
 * Puts the headers of a lock's error on the response, which Nest itself does not: `Retry-After`. The
 * error goes on to the exception filters as it is.
 */
export class RetryAfterInterceptor implements NestInterceptor {
  constructor(@Inject(HttpAdapterHost) private readonly host: HttpAdapterHost) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    return next.handle().pipe(tap({ error: (error) => this.tell(error, context) }));
  }

  private tell(error: unknown, context: ExecutionContext): void {
    const adapter = this.host.httpAdapter;
    const response: unknown = context.switchToHttp().getResponse();
    if (!(error instanceof LockError) || adapter.isHeadersSent(response)) return;
    const { headers = {} } = error as { headers?: Readonly<Record<string, string>> };
    for (const [name, value] of Object.entries(headers)) adapter.setHeader(response, name, value);
  }
}
