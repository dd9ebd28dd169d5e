import type {
  ListPage,
  ListRequest,
  LockStore,
  MaybePromise,
  Sharing,
  StoreEvent,
} from '@holdfast/core';
import type { VirtualClock } from '@holdfast/testing';

/** A memory store with a bug. */
export type Break = (store: LockStore, clock: VirtualClock) => Partial<LockStore>;

/** A store whose subscribers get other events than it sent. */
function telling(
  store: LockStore,
  change: (client: string, event: StoreEvent) => (readonly [client: string, event: StoreEvent])[],
): Partial<LockStore> {
  const listeners = new Map<string, (event: StoreEvent) => void>();
  return {
    subscribe: (client, listener) => {
      listeners.set(client, listener);
      return store.subscribe(client, (event) => {
        for (const [to, changed] of change(client, event)) listeners.get(to)?.(changed);
      });
    },
  };
}

const clients = (): Set<string> => new Set<string>();

/** Each with the case that must notice it. */
export const mutants: Record<string, [notices: string, Break]> = {
  'grants what is held': [
    'a free key is granted, and then busy for others',
    (store) => ({
      acquire: async (request) => {
        const reply = await store.acquire(request);
        return reply.granted ? reply : { granted: true, token: 1, tokens: 1 };
      },
    }),
  ],
  'takes several names for one': [
    'keys do not touch each other',
    () => ({ encodeKey: ({ namespace, key }) => `${namespace}:${key.toLowerCase()}` }),
  ],
  'does not know an acquisition again': [
    'an acquisition that is asked again is granted once',
    (store) => {
      let count = 0;
      return {
        acquire: (request) => store.acquire({ ...request, id: `${request.id}/${(count += 1)}` }),
      };
    },
  ],
  'promises more than it keeps': [
    'a grant lasts as long as promised, and not much longer',
    () => ({ leaseFor: (ttl) => ttl * 2 }),
  ],
  'lets an owner wait for itself': [
    'an owner takes its own lock over at once',
    (store) => ({ acquire: (request) => store.acquire({ ...request, owner: request.id }) }),
  ],
  'does not tell of a take-over': [
    'a take-over is told to the older holder',
    (store) => telling(store, (client, event) => (event.type === 'lost' ? [] : [[client, event]])),
  ],
  'ignores what a grant replaces': [
    'a grant replaces an earlier one of the same client in one step',
    (store) => ({ acquire: (request) => store.acquire({ ...request, replaces: undefined }) }),
  ],
  'gives a token twice': [
    'fencing tokens grow with every grant, whole blocks of them',
    (store) => ({
      acquire: async (request) => {
        const reply = await store.acquire({ ...request, tokens: 1 });
        return reply.granted ? { ...reply, tokens: request.tokens } : reply;
      },
    }),
  ],
  'does not renew': [
    'a renewal prolongs a grant',
    (store) => ({
      renew: (requests) => store.renew(requests.map((request) => ({ ...request, ttl: 0 }))),
    }),
  ],
  'shortens a grant by renewing it': [
    'a renewal never shortens a grant',
    (store, clock) => {
      const ends = new Map<string, { id: string; at: number }>();
      return {
        renew: (requests) => {
          for (const { key, id, ttl } of requests) ends.set(key, { id, at: clock.now() + ttl });
          return store.renew(requests);
        },
        acquire: (request) => {
          const end = ends.get(request.key);
          if (end !== undefined && clock.now() >= end.at) {
            void store.release({ key: request.key, id: end.id });
          }
          return store.acquire(request);
        },
      };
    },
  ],
  'renews by looking': [
    'a check does not prolong a grant',
    (store) => ({
      renew: (requests) =>
        store.renew(requests.map((request) => ({ ...request, ttl: request.ttl || 60_000 }))),
    }),
  ],
  'revives what is gone': [
    'a grant that is gone is not renewed, and not made anew',
    (store) => ({
      renew: async (requests) => {
        const replies = await store.renew(requests);
        for (const [index, { key, id, owner, ttl }] of requests.entries()) {
          if (replies[index] === 'renewed') continue;
          const asked = { key, id, owner, ttl, label: '', tokens: 1, client: id, wait: false };
          await store.acquire(asked);
        }
        return replies.map(() => 'renewed' as const);
      },
    }),
  ],
  'answers for one of many renewals': [
    'many grants are renewed in one call, each with its own answer',
    (store) => ({ renew: (requests) => store.renew(requests.slice(0, 1)) }),
  ],
  'frees the lock of the next holder': [
    'a late release does not free the next holder',
    (store) => ({ release: ({ key }) => store.forceRelease(key) }),
  ],
  'says twice that it freed a lock': [
    'a release frees the key, once',
    (store) => ({
      release: async (request) => {
        await store.release(request);
        return true;
      },
    }),
  ],
  'frees at once what is to be kept': [
    'a release can leave the key busy for a while, for everybody',
    (store) => ({ release: ({ key, id }) => store.release({ key, id }) }),
  ],
  'wakes everybody': [
    'a release wakes the first that waits, and nobody else',
    (store) => {
      const known = clients();
      const woken = telling(store, (client, event) =>
        event.type === 'wake' ? [...known].map((one) => [one, event]) : [[client, event]],
      );
      return {
        subscribe: (client, listener) => {
          known.add(client);
          return woken.subscribe!(client, listener);
        },
      };
    },
  ],
  'wakes nobody': [
    'a reservation for a client that leaves passes on at once',
    (store) => telling(store, (client, event) => (event.type === 'wake' ? [] : [[client, event]])),
  ],
  'lets a single attempt overtake': [
    'a single attempt does not overtake',
    (store) => {
      const known = clients();
      return {
        acquire: async (request) => {
          known.add(request.client);
          const reply = await store.acquire(request);
          if (reply.granted || request.wait) return reply;
          for (const client of known) await store.leave?.(client, request.key);
          return store.acquire(request);
        },
      };
    },
  ],
  'puts who asks again at the end': [
    'asking again and refreshing keep a place',
    (store) => ({
      acquire: async (request) => {
        if (request.wait) await store.leave?.(request.client, request.key);
        return store.acquire(request);
      },
      refresh: async (client, keys) => {
        for (const key of keys) await store.leave?.(client, key);
        return (await store.refresh?.(client, keys)) ?? [];
      },
    }),
  ],
  'keeps the place of who has left': [
    'a client that has left is not woken',
    () => ({ leave: () => {} }),
  ],
  'does not refresh': [
    'a refresh registers whom the store has forgotten',
    () => ({ refresh: (_, keys) => keys.map(() => Infinity) }),
  ],
  'never lets a registration run out': [
    'a registration that is not refreshed runs out',
    (store) => {
      const waiting = new Map<string, string[]>();
      const stay = async (key: string): Promise<void> => {
        for (const client of waiting.get(key) ?? []) await store.refresh?.(client, [key]);
      };
      return {
        acquire: (request) => {
          const { key, client, wait } = request;
          if (wait) waiting.set(key, [...(waiting.get(key) ?? []), client]);
          return store.acquire(request);
        },
        refresh: async (client, keys) => {
          for (const key of keys) await stay(key);
          return (await store.refresh?.(client, keys)) ?? [];
        },
      };
    },
  ],
  'frees what nobody holds': [
    'a forced release of a free key does nothing',
    (store) => ({
      forceRelease: async (key) => {
        await store.forceRelease(key);
        return true;
      },
    }),
  ],
  'shows a free key as held': [
    'a free key shows nobody',
    (store) => ({
      inspect: async (request) =>
        (await store.inspect(request)) ?? { owner: '', label: '', fencingToken: 0 },
    }),
  ],
  'counts who asks among those who wait': [
    'those who wait are counted',
    (store) => ({ inspect: ({ key }) => store.inspect({ key, client: '' }) }),
  ],
  'tells those who have unsubscribed': [
    'who has unsubscribed is told nothing more',
    (store) => ({
      subscribe: (client, listener) => {
        store.subscribe(client, listener);
        return () => {};
      },
    }),
  ],
  'lists more than it is asked for': [
    'everything that is held is listed, in pages of at most so many',
    (store) => ({ list: (request) => listOf(store, { ...request, limit: 1_000 }) }),
  ],
  'leaves out the first of every page but one': [
    'everything that is held is listed, in pages of at most so many',
    (store) => ({
      list: async (request) => {
        const page = await listOf(store, request);
        return request.cursor === undefined ? page : { ...page, grants: page.grants.slice(1) };
      },
    }),
  ],
  'lists keys that were not asked for': [
    'only keys with the prefix are listed, whatever is in them',
    (store) => ({ list: (request) => listOf(store, { ...request, prefix: '' }) }),
  ],
  'lists what is free': [
    'what is free is not listed',
    (store) => {
      const seen = new Set<string>();
      return {
        acquire: (request) => {
          seen.add(request.key);
          return store.acquire(request);
        },
        list: async ({ prefix }) => {
          const keys = [...seen].filter((key) => key.startsWith(prefix));
          return { grants: keys.map((key) => ({ key, owner: '', label: '', fencingToken: 0 })) };
        },
      };
    },
  ],
  'lists another holder than the key has': [
    'a listed grant shows its holder as a look at its key does',
    (store) => ({
      list: async (request) => {
        const { grants, cursor } = await listOf(store, request);
        return { grants: grants.map((grant) => Object.assign(grant, { owner: '' })), cursor };
      },
    }),
  ],
  'takes the last renewal for the beginning': [
    'a grant shows since when it is held, which renewals do not change',
    (store, clock) => ({
      inspect: async (request) => {
        const grant = await store.inspect(request);
        return grant && { ...grant, since: clock.wallNow() };
      },
    }),
  ],
  'loses its place in a listing when something is released': [
    'what is held all the while is listed while other keys come and go',
    (store) => {
      let released = 0;
      return {
        release: (request) => {
          released += 1;
          return store.release(request);
        },
        list: async (request) => {
          const page = await listOf(store, request);
          return released > 10 ? { grants: page.grants } : page;
        },
      };
    },
  ],
  'shows a page once': [
    'a page can be asked for again',
    (store) => {
      const shown = new Set<string>();
      return {
        list: async (request) => {
          const again = request.cursor !== undefined && shown.has(request.cursor);
          shown.add(request.cursor ?? '');
          return again ? { grants: [] } : listOf(store, request);
        },
      };
    },
  ],
  'takes anything for a cursor': [
    'a cursor that the store cannot have given is refused',
    (store) => ({
      list: (request) => {
        const known = /^\d+\.\d+$/.test(request.cursor ?? '');
        return listOf(store, { ...request, cursor: known ? request.cursor : undefined });
      },
    }),
  ],
  'shows nobody who waits': [
    'a look at a key shows who waits for it, the next first',
    (store) => ({
      inspect: async (request) => {
        const grant = await store.inspect(request);
        return grant && { ...grant, queue: [] };
      },
    }),
  ],
  'lets one more hold a key than its limit says': [
    'as many hold a key as its limit says',
    (store) => changing(store, (sharing) => ({ ...sharing, limit: sharing.limit + 1 })),
  ],
  'counts permits and not their weight': [
    'weights add up to no more than the limit',
    (store) => changing(store, (sharing) => ({ ...sharing, weight: 1 })),
  ],
  'lets a reader in beside a writer that waits': [
    'a writer that waits stops later readers',
    (store) => ({
      acquire: (request) =>
        store.acquire(request.sharing === undefined ? { ...request, wait: false } : request),
    }),
  ],
  'wakes readers one by one': [
    'adjacent readers are woken together',
    (store) =>
      changing(store, (sharing) => ({ ...sharing, limit: sharing.shared ? 1 : sharing.limit }), {
        shared: false,
      }),
  ],
  'does not tell of another limit': [
    'another limit is a conflict, and both are told',
    (store) => ({
      acquire: async (request) => {
        const reply = await store.acquire(request);
        return reply.granted ? reply : { granted: false, retryAfter: reply.retryAfter };
      },
    }),
  ],
  'leaks a permit that is released': [
    'a permit is released once, and only by its id',
    (store) => ({
      release: (request) =>
        store.release(request.permit === true ? { ...request, keepFor: 60_000 } : request),
    }),
  ],
  'keeps the permits of those who have crashed': [
    'each permit has a lease of its own',
    (store) => ({
      acquire: (request) =>
        store.acquire(request.sharing === undefined ? request : { ...request, ttl: 60_000 }),
    }),
  ],
  'ends all where one was named': [
    'an operator ends one permit, or all',
    (store) => ({ forceRelease: (key) => store.forceRelease(key) }),
  ],
  'shows one of several': [
    'a look shows all who hold a key',
    (store) => ({
      inspect: async (request) => {
        const grant = await store.inspect(request);
        return grant && { ...grant, holders: grant.holders?.slice(0, 1) };
      },
    }),
  ],
};

/** A store that takes permits for others than were asked for. */
function changing(
  store: LockStore,
  change: (sharing: Sharing) => Sharing,
  fixed: Partial<Sharing> = {},
): Partial<LockStore> {
  return {
    acquire: (request) => {
      const { sharing } = request;
      if (sharing === undefined) return store.acquire(request);
      return store.acquire({ ...request, sharing: { ...change(sharing), ...fixed } });
    },
  };
}

function listOf(store: LockStore, request: ListRequest): MaybePromise<ListPage> {
  return store.list?.(request) ?? { grants: [] };
}
