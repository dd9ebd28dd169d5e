import type { AcquireReply, StoredGrant } from '@holdfast/core';
import { Acquisition } from '../../packages/core/src/acquire/acquisition.ts';
import { KeyQueues } from '../../packages/core/src/acquire/key-queues.ts';
import { Releases } from '../../packages/core/src/release/releases.ts';
import { Contender } from '../../packages/core/src/acquire/contender.ts';
import { Context } from '../../packages/core/src/context.ts';
import { KeyQueue } from '../../packages/core/src/acquire/key-queue.ts';
import { Lease, Released } from '../../packages/core/src/hold/lease.ts';
import { HeldLock } from '../../packages/core/src/hold/lock.ts';
import { Renewer } from '../../packages/core/src/hold/renewer.ts';
import { LeaseTimings, type LeaseTiming } from '../../packages/core/src/hold/lease-timing.ts';
import { Time } from '../../packages/core/src/util/time.ts';
import { Waiter } from '../../packages/core/src/acquire/waiter.ts';
import { Notices } from '../../packages/core/src/util/notices.ts';
import { patch, replaced, type Mutant } from './mutation.ts';

/** Of locks that one holds. */
export const mutants: readonly Mutant[] = [
  {
    name: 'the lease is counted from the reply',
    caughtBy: ['belief'],
    install: () =>
      patch(KeyQueues, 'grantOf', (original) => {
        return function (this: KeyQueues, id: string, granted: unknown, _: number, owner?: string) {
          const { time } = (this as unknown as { context: Context }).context;
          return original.call(this, id, granted, time.now(), owner);
        };
      }),
  },
  {
    name: 'a late release frees the next holder',
    caughtBy: ['belief'],
    wrap: (server) => {
      const holders = new Map<string, string>();
      return replaced(server, {
        acquire: (request) => {
          const reply = server.acquire(request) as AcquireReply;
          if (reply.granted) holders.set(request.key, request.id);
          return reply;
        },
        release: (request) =>
          server.release({ ...request, id: holders.get(request.key) ?? request.id }),
      });
    },
  },
  {
    name: 'a second release frees the next holder',
    caughtBy: ['belief'],
    install: () =>
      patch(HeldLock, 'end', (original) => {
        return function (this: HeldLock) {
          const again = this.ended instanceof Released;
          return again ? this.settings.context.releases.releaseLost(this) : original.call(this);
        };
      }),
  },
  {
    name: 'a hand-off has no token of its own',
    caughtBy: ['token-of-grant'],
    install: () =>
      patch(Waiter, 'grant', (original) => {
        return function (this: Waiter, given: Parameters<Waiter['grant']>[0], now: number) {
          const passedOn = given.tenure.from !== undefined;
          original.call(this, passedOn ? { ...given, token: given.token - 1 } : given, now);
        };
      }),
  },
  {
    name: 'a lease that is lost already is handed off',
    caughtBy: ['belief', 'exclusion', 'signal-fired', 'token-of-grant'],
    install: () =>
      patch(Releases, 'releaseLost', (original) => {
        return function (this: Releases, lease: Lease) {
          const { context } = lease.settings;
          const queue = context.queues.byKey.get(lease.stored);
          if (queue?.head === undefined) return original.call(this, lease);
          const { handOff } = queue as unknown as { handOff: (...args: unknown[]) => void };
          handOff.call(queue, lease, queue.head, context.time.now());
          return false;
        };
      }),
  },
  {
    name: 'a renewal revives an expired lease',
    caughtBy: ['never-revived', 'exclusion'],
    install: () =>
      patch(Releases, 'undo', () => {
        return function (this: Releases, lease: Lease) {
          const { held, time } = lease.settings.context;
          if (held.alone.get(lease.stored) !== undefined) return;
          lease.ended = undefined;
          lease.anchor = Math.floor(time.now());
          held.add(lease);
        };
      }),
  },
  {
    name: 'a renewal shortens an extension',
    caughtBy: ['never-shortened'],
    install: () =>
      patch(Lease, 'confirm', () => {
        return function (this: Lease, sentAt: number, timing: LeaseTiming) {
          if (!this.isHeld()) return false;
          this.settings = { ...this.settings, timing };
          this.anchor = Math.floor(sentAt);
          return true;
        };
      }),
  },
  {
    name: 'wake-ups are lost, and nothing makes up for them',
    caughtBy: ['liveness'],
    install: () => {
      const endings = [
        patch(Contender, 'hint', () => () => {}),
        patch(Contender, 'askSoon', () => () => {}),
        patch(Context, 'hear', () => () => {}),
      ];
      return () => {
        for (const end of endings) end();
      };
    },
  },
  {
    name: 'an abort leaves a ghost',
    caughtBy: ['orphan', 'liveness'],
    install: () => patch(Releases, 'takeBack', () => () => false),
  },
  {
    name: 'a take-over keeps the token',
    caughtBy: ['token-of-grant'],
    wrap: (server) =>
      replaced(server, {
        acquire: (request) => {
          const { key, owner, replaces } = request;
          const before = server.inspect({ key, client: '' }) as StoredGrant | null;
          const reply = server.acquire(request) as AcquireReply;
          const takenOver = before?.owner === owner && before.owner !== replaces;
          if (!reply.granted || !takenOver || before.fencingToken === reply.token) return reply;
          return { ...reply, token: before.fencingToken };
        },
      }),
  },
  {
    name: 'the safety margin is ignored',
    caughtBy: ['signal-fired'],
    install: () =>
      patch(LeaseTimings, 'for', (original) => {
        return function (this: LeaseTimings, ttl: number) {
          const timing = original.call(this, ttl) as LeaseTiming;
          return { ...timing, usable: timing.lease };
        };
      }),
  },
  {
    name: 'the time that a machine sleeps does not count',
    caughtBy: ['belief', 'signal-fired'],
    install: () => patch(Time, 'jumped', () => () => {}),
  },
  {
    name: 'a short sleep of the machine is not noticed',
    caughtBy: ['belief'],
    install: () => patch(Time, 'notice', () => () => {}),
  },
  {
    name: 'users are told in the middle of a change of state',
    caughtBy: ['signal-fired', 'leftovers', 'orphan', 'liveness', 'exclusion', 'errors'],
    misbehaving: true,
    install: () =>
      patch(Notices, 'add', () => (notice: () => void) => {
        notice();
      }),
  },
  {
    name: 'a waiter that leaves is forgotten in the queue',
    caughtBy: ['signal-fired', 'token-of-grant', 'leftovers', 'liveness', 'orphan', 'exclusion'],
    install: () => patch(KeyQueue, 'withdraw', () => () => {}),
  },
  {
    name: 'the listener on the signal of the caller stays',
    caughtBy: ['leftovers'],
    install: () =>
      patch(Acquisition, 'settle', () => {
        return function (this: Acquisition) {
          (this as unknown as { settled: boolean }).settled = true;
        };
      }),
  },
  {
    name: 'the timer of a closed locker stays',
    caughtBy: ['leftovers'],
    install: () => patch(Renewer, 'stop', () => () => {}),
  },
];
