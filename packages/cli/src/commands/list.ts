import type { Locker, LockInfo } from '@holdfast/core';

/** All locks whose keys begin with `prefix`, up to `limit`, page by page; a key may come twice. */
export async function* walk(
  locker: Locker,
  prefix: string | undefined,
  limit = Infinity,
): AsyncGenerator<LockInfo> {
  const seen = new Set<string>();
  let cursor: string | undefined;
  do {
    const page = await locker.list({ prefix, limit: Math.min(1_000, limit), cursor });
    for (const lock of page.locks) {
      if (seen.has(lock.key)) continue;
      seen.add(lock.key);
      yield lock;
      if (seen.size >= limit) return;
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
}
