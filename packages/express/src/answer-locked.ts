import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Settings } from './options.ts';

/** The default answer to a request whose lock is busy, as RFC 9457 has it. The key stays unsaid. */
export function answerLocked(res: ServerResponse, settings: Settings): void {
  const { statusCode, retryAfter } = settings;
  const problem = {
    type: 'about:blank',
    title: STATUS_CODES[statusCode] ?? 'Locked',
    status: statusCode,
    detail: 'Another request holds the lock. Try again later.',
    code: 'LOCK_NOT_ACQUIRED',
    retryAfter,
  };
  res.statusCode = statusCode;
  res.setHeader('Retry-After', String(retryAfter));
  res.setHeader('Content-Type', 'application/problem+json');
  res.end(JSON.stringify(problem));
}
