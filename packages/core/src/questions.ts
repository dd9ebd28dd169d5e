import type { ListOptions, LockInfo, LockPage, LockWaiter } from './types.ts';
import type { Engine } from './engine.ts';
import { LockArgumentError, type StorePhase } from './errors.ts';
import { decodeStoredKey, storedPrefix } from './keys.ts';
import { resolveListOptions } from './options.ts';
import {
  MAX_QUEUE_SHOWN,
  type ListPage,
  type ListRequest,
  type MaybePromise,
  type StoredGrant,
} from './store.ts';
import { shownOwner } from './util/ids.ts';

/** ms for questions of operators. */
const QUESTION_TIMEOUT = 2_000;

/** How often the store is asked for one page that it does not fill: each time it does little. */
const MOST_REQUESTS = 8;

/** {@link Locker.inspect} */
export async function inspect(
  engine: Engine,
  key: string,
  stored: string,
): Promise<LockInfo | null> {
  const { client, store } = engine;
  const grant = await ask(engine, 'inspect', key, () => store.inspect({ key: stored, client }));
  if (grant === null) return null;
  const queue = grant.queue && merged(waitingHere(engine, stored), grant.queue);
  return { ...infoOf(engine, key, stored, grant), queue };
}

/** {@link Locker.forceRelease} */
export function forceRelease(engine: Engine, key: string, stored: string): Promise<boolean> {
  const { store } = engine;
  return ask(engine, 'force-release', key, () => store.forceRelease(stored));
}

/** {@link Locker.list} */
export async function list(engine: Engine, options: ListOptions | undefined): Promise<LockPage> {
  const { prefix, limit, cursor } = resolveListOptions(options);
  const { client, store, settings } = engine;
  if (store.list === undefined || (store.encodeKey !== undefined && !store.decodeKey)) {
    throw new LockArgumentError(`This store (${store.name}) cannot list its locks.`);
  }
  const { namespace } = settings;
  const start = store.encodeKey?.({ namespace, key: prefix, owner: undefined });
  const request = { prefix: start ?? storedPrefix(namespace, prefix), client };
  const locks: LockInfo[] = [];
  let next = cursor;
  for (let requests = 0; requests < MOST_REQUESTS; requests++) {
    const page = await askForPage(engine, {
      ...request,
      limit: limit - locks.length,
      cursor: next,
    });
    for (const { key: stored, ...grant } of page.grants) {
      const key = userKey(engine, stored, prefix);
      if (key !== undefined) locks.push(infoOf(engine, key, stored, grant));
    }
    next = page.cursor;
    if (next === undefined || locks.length >= limit) break;
  }
  return next === undefined ? { locks } : { locks, cursor: next };
}

async function askForPage(engine: Engine, request: ListRequest): Promise<ListPage> {
  const { store } = engine;
  // A cursor that is refused is no failure of the store.
  const answer = await ask(engine, 'list', undefined, async () => {
    try {
      return await (store.list?.(request) ?? { grants: [] });
    } catch (error) {
      if (error instanceof LockArgumentError) return error;
      throw error;
    }
  });
  if (answer instanceof LockArgumentError) throw answer;
  return answer;
}

function ask<T>(
  { calls, settings }: Engine,
  phase: StorePhase,
  key: string | undefined,
  send: () => MaybePromise<T>,
): Promise<T> {
  return calls.ask({ phase, key, timeout: settings.storeTimeout ?? QUESTION_TIMEOUT, send });
}

/** As its holder gave it; `undefined` for a key that is not asked for. */
function userKey(engine: Engine, stored: string, prefix: string): string | undefined {
  const { store, settings } = engine;
  const { namespace } = settings;
  if (store.encodeKey !== undefined) {
    const key = store.decodeKey?.({ namespace, stored });
    return key?.startsWith(prefix) === true ? key : undefined;
  }
  const key = decodeStoredKey(namespace, stored);
  if (key === undefined) return undefined;
  const { text, hash } = key;
  if (hash === undefined) return text.startsWith(prefix) ? text : undefined;
  // Whether it goes on as the prefix does is not known.
  return text.startsWith(prefix) || prefix.startsWith(text) ? `${text}~${hash}` : undefined;
}

function infoOf(
  { admission }: Engine,
  key: string,
  stored: string,
  { owner, label, fencingToken, since, remaining, waiters = 0 }: StoredGrant,
): LockInfo {
  const here = admission.queues.get(stored)?.size ?? 0;
  const shown = shownOwner(owner);
  return { key, owner: shown, label, fencingToken, since, remaining, waiters: here + waiters };
}

/** The acquisitions of this locker that wait for a key. */
function waitingHere({ admission, time }: Engine, stored: string): LockWaiter[] {
  const wallAhead = time.clock.wallNow() - time.now();
  const waiting: LockWaiter[] = [];
  let waiter = admission.queues.get(stored)?.head;
  for (; waiter !== undefined && waiting.length < MAX_QUEUE_SHOWN; waiter = waiter.next) {
    waiting.push({ label: waiter.plan.label, since: Math.round(waiter.since + wallAhead) });
  }
  return waiting;
}

/** The longest waiting first. */
function merged(here: readonly LockWaiter[], there: readonly LockWaiter[]): LockWaiter[] {
  const all = [...here, ...there].toSorted((a, b) => a.since - b.since);
  return all.slice(0, MAX_QUEUE_SHOWN);
}
