import {
  createLocker,
  elect,
  memoryStore,
  type AcquireRequest,
  type LockStore,
  type Sharing,
} from '@holdfast/core';
import { KeyQueue } from '../../packages/core/src/acquire/key-queue.ts';
import type { Waiter } from '../../packages/core/src/acquire/waiter.ts';
import type { Grant } from '../../packages/core/src/hold/lease.ts';
import { MemoryPermits } from '../../packages/core/src/stores/memory-permits.ts';
import { SharedKey } from '../../packages/core/src/stores/memory-shared-key.ts';
import type { LinkedList } from '../../packages/core/src/util/linked-list.ts';
import { patch, replaced, type Mutant } from './mutation.ts';
import { maySeveralHold } from './schedule.ts';

/** Its class is nobody else's business. */
const MemoryStore = memoryStore().constructor as { readonly prototype: object };

/** The private parts of the memory store's permits. */
interface PermitParts {
  readonly queues: { head(key: string, now: number): unknown };
  readonly grants: { lastToken: number };
  grantPermit(request: AcquireRequest, sharing: Sharing, shared: SharedKey, now: number): object;
}

/** Those of a queue of the engine's. */
interface QueueParts {
  readonly line: LinkedList<Waiter>;
  readonly contender: { left(waiter: Waiter): void } | undefined;
  remove(waiter: Waiter): void;
  review(): void;
}

/** Of locks that several hold, and of elections: each is noticed in one way only. */
export const permitMutants: readonly Mutant[] = [
  {
    name: 'every permit weighs the same',
    caughtBy: ['weight'],
    wrap: (server) =>
      replaced(server, {
        acquire: (request) => {
          const { sharing } = request;
          return server.acquire({ ...request, sharing: sharing && { ...sharing, weight: 1 } });
        },
      }),
  },
  {
    name: 'a writer is let in beside readers',
    caughtBy: ['readers'],
    install: () => {
      const writers = new Set<string | undefined>();
      const ends = [
        patch(MemoryPermits, 'decideBeside', (original) => {
          return function (
            this: PermitParts,
            request: AcquireRequest,
            shared: SharedKey,
            now: number,
          ) {
            const { id, key, tokens, ttl } = request;
            const same = shared.permits.get(id);
            if (same !== undefined) {
              same.expiresAt = Math.max(same.expiresAt, Math.ceil(now) + ttl);
              shared.endsAt(same.expiresAt);
              return { granted: true, token: same.token, tokens: 1 };
            }
            const alone = [...shared.permits.keys()].some((permit) => writers.has(permit));
            const waiting = this.queues.head(key, now) !== undefined;
            if (shared.limit !== 1 || alone || waiting) {
              return original.call(this, request, shared, now);
            }
            writers.add(id);
            const writer = { limit: 1, weight: 1, shared: false };
            const reply = this.grantPermit(request, writer, shared, now);
            // It may pass its grant on.
            this.grants.lastToken += tokens - 1;
            return { ...reply, tokens };
          };
        }),
        patch(MemoryStore, 'acquire', (original) => {
          return function (this: LockStore, request: AcquireRequest) {
            const { key, replaces } = request;
            if (replaces !== undefined && writers.has(replaces)) {
              void this.release({ key, id: replaces });
            }
            return original.call(this, request);
          };
        }),
      ];
      return () => {
        for (const end of ends) end();
      };
    },
  },
  {
    name: 'a light permit passes those who wait for more room',
    caughtBy: ['overtaking'],
    install: () =>
      patch(MemoryPermits, 'decideAmong', (original) => {
        return function (
          this: PermitParts,
          request: AcquireRequest,
          sharing: Sharing,
          shared: SharedKey,
          now: number,
        ) {
          const mine = request.owner !== request.id || shared.permits.has(request.id);
          if (mine || !shared.fits(sharing)) {
            return original.call(this, request, sharing, shared, now);
          }
          return this.grantPermit(request, sharing, shared, now);
        };
      }),
  },
  {
    name: 'a permit that was asked for in addition goes to the last in line',
    caughtBy: ['overtaking'],
    install: () =>
      patch(KeyQueue, 'serveLike', () => {
        return function (this: QueueParts, waiter: Waiter, grant: Grant, now: number) {
          const { last } = this.line;
          if (last === undefined || !last.isLike(waiter)) return false;
          this.remove(last);
          last.grant(grant, now);
          this.contender?.left(last);
          this.review();
          return true;
        };
      }),
  },
  {
    name: 'an owner takes over what others hold beside it',
    caughtBy: ['belief'],
    install: () => patch(SharedKey, 'isAll', () => () => true),
  },
  {
    name: 'a permit that is released stays granted',
    caughtBy: ['orphan'],
    wrap: (server) =>
      replaced(server, {
        release: (request) => request.permit === true || server.release(request),
      }),
  },
  {
    name: 'nobody is told that a permit is free',
    caughtBy: ['liveness'],
    wrap: (server) =>
      replaced(server, {
        subscribe: (client, listener) =>
          server.subscribe(client, (event) => {
            if (event.type !== 'wake' || !maySeveralHold(event.key)) listener(event);
          }),
        refresh: async (client, keys) => {
          const hints = (await server.refresh?.(client, keys)) ?? [];
          return hints.map((hint, index) =>
            maySeveralHold(keys[index] as string) ? Infinity : hint,
          );
        },
        acquire: async (request) => {
          const reply = await server.acquire(request);
          if (reply.granted || !maySeveralHold(request.key)) return reply;
          return { ...reply, retryAfter: Infinity };
        },
      }),
  },
  {
    name: 'a leader believes what it was told last',
    caughtBy: ['leadership'],
    install: leadsByWhatItWasTold,
  },
];

/** The class of candidates, from one that never campaigns. */
function campaigns(): { readonly prototype: object } {
  const signal = AbortSignal.abort();
  const candidate = elect(createLocker(), 'nobody', { signal, onElected: () => {} });
  return candidate.constructor;
}

/** A candidate takes itself for the leader as long as it has a lock, whether or not that is held. */
export function leadsByWhatItWasTold(): () => void {
  const { prototype } = campaigns();
  const known = Object.getOwnPropertyDescriptor(prototype, 'isLeader') as PropertyDescriptor;
  Object.defineProperty(prototype, 'isLeader', {
    configurable: true,
    get(this: { readonly lock: unknown }) {
      return this.lock !== undefined;
    },
  });
  return () => {
    Object.defineProperty(prototype, 'isLeader', known);
  };
}
