import type { Lock } from '@holdfast/core';
import { lockRoute, type StrictLockRouteOptions } from '@holdfast/express';
import { express, post, serve, testLocker } from './kit.ts';

export const POST = ['POST / HTTP/1.1', 'Host: x', 'Content-Length: 0'];
export const TTL = 10_000;
export type Handle = (
  req: express.Request & { lock: Lock },
  res: express.Response,
  next: express.NextFunction,
) => unknown;

/** A site with one handler under the lock `k`; `/next` asks for the same lock. */
export async function site(handle: Handle, options: Partial<StrictLockRouteOptions> = {}) {
  const { clock, locker } = testLocker({ ttl: TTL });
  const app = express();
  const lock = lockRoute({ locker, key: 'k', ...options });
  app.post('/', lock.handler(handle));
  app.post('/next', lock, (_req, res) => res.send('next'));
  const at = await serve(app);
  const isFree = async () => (await locker.inspect('k')) === null;
  return { ...at, clock, locker, isFree, next: async () => (await post(`${at.url}/next`)).status };
}
