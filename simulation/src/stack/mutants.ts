import { LockStoreError } from '@holdfast/core';
import { Connections } from '../../../packages/memcached/src/connections.ts';
import { BinaryItems, type Version } from '../../../packages/memcached/src/items.ts';
import { Batcher } from '../../../packages/redis/src/commands/batcher.ts';
import { ScriptCalls } from '../../../packages/redis/src/commands/script-calls.ts';
import { Durability } from '../../../packages/redis/src/durability.ts';
import { LiveConnection } from '../../../packages/redis/src/messages/live-connection.ts';
import { Subscriber } from '../../../packages/redis/src/messages/subscriber.ts';
import { Renewals } from '../../../packages/redis/src/quorum/renew.ts';
import type { ManyCall } from '../../../packages/redis/src/scripts/script.ts';
import { patch } from '../mutation.ts';
import type { Invariant } from '../violation.ts';
import type { TopologyName } from './topology.ts';

/** A bug put into a script or into the code of the stores, to show that the simulation would find it. */
export interface StackMutant {
  readonly name: string;
  readonly topology: TopologyName;
  /** What notices it. */
  readonly caughtBy: readonly Invariant[];
  /** In scripts: what is replaced by what. */
  readonly replace?: readonly (readonly [string, string])[];
  /** Puts it into the code; returns what takes it out again. */
  readonly install?: () => () => void;
  /** What is not looked at, to show that another invariant notices it too. */
  readonly blind?: readonly Invariant[];
}

/** Puts a mutant into the text of scripts. */
export function rewriterOf({ replace = [] }: StackMutant): {
  readonly rewrite: (source: string) => string;
  /** Texts that no script had: a mutant that is none. */
  readonly unused: () => string[];
} {
  const used = new Set<string>();
  const known = new Map<string, string>();
  const rewrite = (source: string): string => {
    let mutated = known.get(source);
    if (mutated !== undefined) return mutated;
    mutated = source;
    for (const [from, to] of replace) {
      if (!mutated.includes(from)) continue;
      used.add(from);
      mutated = mutated.replaceAll(from, to);
    }
    known.set(source, mutated);
    return mutated;
  };
  return { rewrite, unused: () => replace.map(([from]) => from).filter((from) => !used.has(from)) };
}

/** Takes over what anybody holds, as if it were its owner's own. */
const TAKES_OVER: StackMutant['replace'] = [
  [`held.kind == 'held' and held.owner == (owner == '=' and id or owner)`, `held.kind == 'held'`],
];

export const stackMutants: readonly StackMutant[] = [
  {
    name: 'a script grants what another holds',
    topology: 'single',
    caughtBy: ['belief'],
    replace: TAKES_OVER,
  },
  {
    name: 'a script grants what another holds, and two holders are all that is looked for',
    topology: 'single',
    caughtBy: ['exclusion'],
    blind: ['belief'],
    replace: TAKES_OVER,
  },
  {
    name: 'a server of a quorum grants what another holds',
    topology: 'quorum',
    caughtBy: ['belief'],
    replace: [['held.owner == (owner', `held.owner ~= (owner`]],
  },
  {
    name: 'a script says that it has renewed what is gone',
    topology: 'single',
    caughtBy: ['told'],
    replace: [
      [`if holder ~= id or ends <= now then return '0' end`, `if holder ~= id then return '1' end`],
    ],
  },
  {
    name: 'a script answers another token than it has granted',
    topology: 'single',
    caughtBy: ['token-of-grant'],
    replace: [['reply = micros', 'reply = micros - 1']],
  },
  {
    name: 'a token comes again when the clock is set back',
    topology: 'single',
    caughtBy: ['tokens-grow'],
    replace: [['token, count = held.last + 1', 'token, count = held.last']],
  },
  {
    name: 'a lock that is to be kept busy is freed',
    topology: 'single',
    caughtBy: ['kept'],
    replace: [['if keepFor == 0 then', 'if keepFor < 1e9 then']],
  },
  {
    name: 'a reservation for a process that has crashed lasts for long',
    topology: 'single',
    caughtBy: ['prompt'],
    replace: [
      [`reserved %.0f %.0f %s', now + 500`, `reserved %.0f %.0f %s', now + 15000`],
      // Else it counts as one of a clock that was set back.
      ['most = 500', 'most = 15000'],
    ],
  },
  {
    name: 'a queue stays for ever',
    topology: 'single',
    caughtBy: ['server-leftovers'],
    replace: [[`if redis.call('PTTL', queue) < ms then redis.call('PEXPIRE', queue, ms) end`, '']],
  },
  {
    name: 'replicas are not waited for',
    topology: 'durability',
    caughtBy: ['durable'],
    install: () => patch(Durability, 'confirm', () => () => Promise.resolve()),
  },
  {
    name: 'a script that a server has forgotten is never sent again',
    topology: 'single',
    caughtBy: ['prompt', 'patience'],
    install: () =>
      patch(ScriptCalls, 'run', () => {
        return function (
          this: ScriptCalls,
          call: ManyCall<unknown, unknown>,
          requests: readonly unknown[],
          answered: (answer: unknown) => unknown,
          failed: (error: unknown) => unknown,
        ) {
          const words: string[] = [];
          for (const request of requests) call.writeKeys(request, words);
          call.writeArgs(requests, words);
          const { sha, source } = call.script;
          const keys = requests.length * call.keysEach;
          const known = sent.get(this) ?? new Set();
          sent.set(this, known);
          const reply = known.has(sha)
            ? this.client.evalsha(sha, keys, words)
            : this.client.eval(source, keys, words);
          known.add(sha);
          return reply.then(answered, failed);
        };
      }),
  },
  {
    name: 'what a server refuses for a while is taken for permanent',
    topology: 'single',
    caughtBy: ['patience'],
    install: () =>
      patch(ScriptCalls, 'errorOf', (original) => {
        return function (this: ScriptCalls, error: unknown, call: unknown) {
          const cause = original.call(this, error, call);
          if (!/^(LOADING|OOM|READONLY)/.test((cause as Error).message)) return cause;
          return new LockStoreError('It is refused.', { phase: 'acquire', permanent: true, cause });
        };
      }),
  },
  {
    name: 'each release is sent twice',
    topology: 'single',
    caughtBy: ['budget'],
    install: () =>
      patch(Batcher, 'release', (original) => {
        return async function (this: Batcher, request: unknown) {
          const freed = await original.call(this, request);
          await original.call(this, request);
          return freed;
        };
      }),
  },
  {
    name: 'the connection for messages stays',
    topology: 'single',
    caughtBy: ['leftovers'],
    install: () => patch(LiveConnection, 'close', () => () => {}),
  },
  {
    name: 'a look at the server after a reconnection fails, and nobody cares',
    topology: 'single',
    caughtBy: ['unhandled'],
    install: () =>
      patch(Subscriber, 'lookUp', () => {
        return function (this: Subscriber, places: readonly object[]) {
          const { calls } = this as unknown as { calls: { client: { ping?: unknown } } };
          if (places.length > 0)
            void Promise.reject(new Error(`${typeof calls.client}: no answer`));
        };
      }),
  },
  {
    name: 'a quorum takes every renewal for confirmed',
    topology: 'quorum',
    caughtBy: ['told', 'belief'],
    install: () =>
      patch(Renewals, 'renew', (original) => {
        return async function (this: Renewals, requests: readonly unknown[], limits: unknown) {
          await (original.call(this, requests, limits) as Promise<unknown>).catch(() => {});
          return requests.map(() => 'renewed');
        };
      }),
  },
  {
    name: 'an item is removed, whoever has written it',
    topology: 'memcached',
    caughtBy: ['belief', 'kept'],
    install: () =>
      patch(BinaryItems, 'remove', (original) => {
        return function (this: BinaryItems, key: string, over: Version) {
          return original.call(this, key, { ...over, cas: 0n });
        };
      }),
  },
  {
    name: 'an item ends two seconds too early',
    topology: 'memcached',
    caughtBy: ['belief'],
    install: () =>
      patch(BinaryItems, 'write', (original) => {
        return function (this: BinaryItems, key: string, value: string, exptime: number, ...more) {
          return original.call(this, key, value, Math.max(exptime - 2, 1), ...more);
        };
      }),
  },
  {
    name: 'a connection that is opened without a locker stays',
    topology: 'memcached',
    caughtBy: ['leftovers'],
    install: () =>
      patch(Connections, 'for', (original) => {
        return function (this: Connections, key: string) {
          this.open();
          return original.call(this, key);
        };
      }),
  },
];

/** The scripts that each store of a mutant above has sent. */
const sent = new WeakMap<ScriptCalls, Set<string>>();
