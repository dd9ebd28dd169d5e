// A client that waits for each answer is never refused by its own last request, on whatever server.
import { redisStore } from '@holdfast/redis';
import { lockRoute, type StrictLockRouteOptions } from '@holdfast/express';
import { startProxy, useRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { express, post, realLocker, serve, type Site } from './kit.ts';

type Form = 'middleware' | 'handler';
type Options = Partial<StrictLockRouteOptions>;

const redis = useRedis();

/** A server with its own connection to Redis, on which everything takes `delay` ms each way. */
async function server(form: Form, delay: number, options: Options): Promise<Site> {
  const { hostname, port } = new URL(redis.url);
  const proxy = await startProxy({ host: hostname, port: Number(port) });
  if (delay > 0) {
    proxy.delayRequests(delay);
    proxy.delayReplies(delay);
  }
  const client = new Redis(proxy.port, proxy.host);
  onTestFinished(async () => {
    client.disconnect();
    await proxy.stop();
  });
  const lock = lockRoute({ locker: realLocker(redisStore(client)), key: 'k', ...options });
  const app = express();
  if (form === 'middleware') app.post('/', lock, (_req, res) => res.json({ ok: true }));
  else
    app.post(
      '/',
      lock.handler(async (_req, res) => res.json({ ok: true })),
    );
  return serve(app);
}

/** The statuses of so many requests, one after the other, to a slow server and a fast one in turns. */
async function statuses(form: Form, requests: number, options: Options = {}) {
  const sites = [await server(form, 3, options), await server(form, 0, options)];
  const counts: Record<number, number> = {};
  for (let request = 0; request < requests; request++) {
    const reply = await post(sites[request % sites.length]?.url as string);
    await reply.text();
    counts[reply.status] = (counts[reply.status] ?? 0) + 1;
  }
  return counts;
}

describe.each(['middleware', 'handler'] as const)('two servers, the %s form', (form) => {
  test('refuse no request', { timeout: 120_000 }, async () => {
    expect(await statuses(form, 1_000)).toEqual({ 200: 1_000 });
  });

  test('would refuse some, if the end were not held back', { timeout: 60_000 }, async () => {
    const counts = await statuses(form, 100, { releaseTimeout: 0 });
    expect(counts[423]).toBeGreaterThan(0);
  });
});
