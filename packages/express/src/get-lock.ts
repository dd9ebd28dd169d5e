import type { IncomingMessage } from 'node:http';
import { LockMissingError, type Lock } from '@holdfast/core';

/**
 * The lock of a request, for code that must not run without one.
 *
 * @throws LockMissingError if `lockRoute` holds none for it
 * @example
 * ```ts
 * app.post('/orders/:id/pay', orderLock, async (req, res) => {
 *   await charge(req.params.id, { signal: getLock(req).signal });
 *   res.sendStatus(204);
 * });
 * ```
 */
export function getLock(req: IncomingMessage): Lock {
  const { lock } = req as { lock?: Lock | undefined };
  if (lock !== undefined) return lock;
  throw new LockMissingError(
    'This request holds no lock: mount lockRoute before its handler, and see whether its options let ' +
      'requests pass without the lock.',
  );
}
