// A client that waits for each answer is never refused by its own last request, on whatever server.
import { memoryStore, type LockStore } from '@holdfast/core';
import { lockRoute, type StrictLockRouteOptions } from '@holdfast/express';
import { faultyStore } from '@holdfast/testing';
import { describe, expect, test } from 'vitest';
import { express, post, realLocker, serve } from './kit.ts';

type Form = 'middleware' | 'handler';

/** How many of so many requests, to the one server and the other in turns, are refused. */
async function refusals(
  stores: readonly LockStore[],
  requests: number,
  form: Form,
  options: Partial<StrictLockRouteOptions> = {},
): Promise<number> {
  const sites = await Promise.all(
    stores.map((store) => {
      const lock = lockRoute({ locker: realLocker(store), key: 'k', ...options });
      const app = express();
      if (form === 'middleware') app.post('/', lock, (_req, res) => res.json({ ok: true }));
      else
        app.post(
          '/',
          lock.handler(async (_req, res) => res.json({ ok: true })),
        );
      return serve(app);
    }),
  );
  let refused = 0;
  for (let request = 0; request < requests; request++) {
    const reply = await post(sites[request % sites.length]?.url as string);
    await reply.text();
    if (reply.status === 423) refused += 1;
  }
  return refused;
}

/** Two ways to one store, the first of which is slow. */
function skewed(): readonly LockStore[] {
  const store = memoryStore();
  const decide = () => ({ kind: 'delay', before: 3, after: 3 }) as const;
  return [faultyStore(store, { decide }), faultyStore(store)];
}

describe.each(['middleware', 'handler'] as const)('two servers, the %s form', (form) => {
  test('no request is refused', { timeout: 60_000 }, async () => {
    expect(await refusals(skewed(), 300, form)).toBe(0);
  });

  test('without holding back the end, some are', { timeout: 60_000 }, async () => {
    expect(await refusals(skewed(), 100, form, { releaseTimeout: 0 })).toBeGreaterThan(0);
  });
});
