import type { ListOptions, LockInfo, LockPage, LockWaiter } from './types.ts';
import type { Context } from './context.ts';
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
  context: Context,
  key: string,
  stored: string,
): Promise<LockInfo | null> {
  const { client, store } = context;
  const grant = await ask(context, 'inspect', key, () => store.inspect({ key: stored, client }));
  if (grant === null) return null;
  const queue = grant.queue && merged(waitingHere(context, stored), grant.queue);
  return { ...infoOf(context, key, stored, grant), queue };
}

/** {@link Locker.forceRelease} */
export async function forceRelease(
  context: Context,
  key: string,
  stored: string,
  owners: readonly string[] | undefined,
): Promise<boolean> {
  const { store } = context;
  if (owners !== undefined && store.capabilities.permits !== true) {
    throw new LockArgumentError(`This store (${store.name}) does not support \`owner\` here.`);
  }
  for (const owner of owners ?? [undefined]) {
    const send = (): MaybePromise<boolean> => store.forceRelease(stored, owner);
    if (await ask(context, 'force-release', key, send)) return true;
  }
  return false;
}

/** {@link Locker.list} */
export async function list(context: Context, options: ListOptions | undefined): Promise<LockPage> {
  const { prefix, limit, cursor } = resolveListOptions(options);
  const { client, store, settings } = context;
  if (store.list === undefined || (store.encodeKey !== undefined && !store.decodeKey)) {
    throw new LockArgumentError(`This store (${store.name}) cannot list its locks.`);
  }
  const { namespace } = settings;
  const start = store.encodeKey?.({ namespace, key: prefix, owner: undefined });
  const request = { prefix: start ?? storedPrefix(namespace, prefix), client };
  const locks: LockInfo[] = [];
  let next = cursor;
  for (let requests = 0; requests < MOST_REQUESTS; requests++) {
    const page = await askForPage(context, {
      ...request,
      limit: limit - locks.length,
      cursor: next,
    });
    for (const { key: stored, ...grant } of page.grants) {
      const key = userKey(context, stored, prefix);
      if (key !== undefined) locks.push(infoOf(context, key, stored, grant));
    }
    next = page.cursor;
    if (next === undefined || locks.length >= limit) break;
  }
  return next === undefined ? { locks } : { locks, cursor: next };
}

async function askForPage(context: Context, request: ListRequest): Promise<ListPage> {
  const { store } = context;
  // A cursor that is refused is no failure of the store.
  const answer = await ask(context, 'list', undefined, async () => {
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
  { calls, settings }: Context,
  phase: StorePhase,
  key: string | undefined,
  send: () => MaybePromise<T>,
): Promise<T> {
  return calls.ask({ phase, key, timeout: settings.storeTimeout ?? QUESTION_TIMEOUT, send });
}

/** As its holder gave it; `undefined` for a key that is not asked for. */
function userKey(context: Context, stored: string, prefix: string): string | undefined {
  const { store, settings } = context;
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
  { queues }: Context,
  key: string,
  stored: string,
  { owner, label, fencingToken, since, remaining, waiters = 0, holders }: StoredGrant,
): LockInfo {
  const here = queues.waitersFor(stored);
  const shown = shownOwner(owner);
  const info = {
    key,
    owner: shown,
    label,
    fencingToken,
    since,
    remaining,
    waiters: here + waiters,
  };
  if (holders === undefined) return info;
  return { ...info, holders: holders.map((one) => ({ ...one, owner: shownOwner(one.owner) })) };
}

/** The acquisitions of this locker that wait for a key. */
function waitingHere({ queues, time }: Context, stored: string): LockWaiter[] {
  const wallAhead = time.clock.wallNow() - time.now();
  const waiting: LockWaiter[] = [];
  let waiter = queues.firstFor(stored);
  for (; waiter !== undefined && waiting.length < MAX_QUEUE_SHOWN; waiter = waiter.next) {
    waiting.push({ label: waiter.settings.label, since: Math.round(waiter.since + wallAhead) });
  }
  return waiting;
}

/** The longest waiting first. */
function merged(here: readonly LockWaiter[], there: readonly LockWaiter[]): LockWaiter[] {
  const all = [...here, ...there].toSorted((a, b) => a.since - b.since);
  return all.slice(0, MAX_QUEUE_SHOWN);
}
