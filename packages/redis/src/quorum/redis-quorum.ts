import { checkOptions, LockArgumentError, type LockStore } from '@holdfast/core';
import { ACCEPTED, portOf, type AnyRedisClient } from '../connection/clients.ts';
import type { ClientPort } from '../connection/port.ts';
import { checkTimeout } from '../option-checks.ts';
import type { QuorumClock } from './node.ts';
import { QuorumStore } from './quorum-store.ts';
import { RedisNode } from './redis-node.ts';

/** Options of {@link redisQuorum}. */
export interface RedisQuorumOptions {
  /**
   * How long, in ms, a server may take for its answer where a majority has answered, but is not
   * agreed, before it counts as failed; never less than twice what the majority took.
   *
   * @default a tenth of the ttl, at least 50 and at most 500
   */
  nodeTimeout?: number | undefined;
}

/**
 * Locks on several Redis or Valkey servers that know nothing of each other (Redlock): held by whom more
 * than half of them have granted it to. A minority may be down, frozen or slow, and costs nobody more
 * than the `nodeTimeout`. For three or five servers, each with its own disk and power.
 *
 * What it does not give: fencing tokens are always 0, and waiting is polling. Exclusion holds while a
 * majority of the servers keeps what it was told. The shortest ttl is 500 ms.
 *
 * The clients stay the user's: they are never closed, and no option of them is changed.
 *
 * @throws LockArgumentError for what is not a list of different clients of single servers
 * @example
 * ```ts
 * import { createLocker } from '@holdfast/core';
 * import { redisQuorum } from '@holdfast/redis';
 * import { Redis } from 'ioredis';
 *
 * const clients = [new Redis(urlA), new Redis(urlB), new Redis(urlC)];
 * const locker = createLocker({ store: redisQuorum(clients) });
 * ```
 */
export function redisQuorum(
  clients: readonly (AnyRedisClient & NoCluster)[],
  options: RedisQuorumOptions = {},
): LockStore {
  const nodes = portsOf(clients).map((port) => new RedisNode(port, systemClock));
  return new QuorumStore(nodes, systemClock, { nodeTimeout: nodeTimeoutOf(options) });
}

/** What only clients of a cluster have. */
interface NoCluster {
  readonly nodes?: undefined;
  readonly nodeClient?: undefined;
  readonly invokeScriptWithRoute?: undefined;
}

const systemClock: QuorumClock = {
  now: () => performance.now(),
  // Timers come before what has arrived while the event loop was blocked, which is not late.
  setTimeout: (callback, ms) => setTimeout(() => setImmediate(callback), ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  random: () => Math.random(),
};

/** @throws LockArgumentError */
function portsOf(clients: readonly AnyRedisClient[]): readonly ClientPort[] {
  if (!Array.isArray(clients) || clients.length === 0) {
    throw new LockArgumentError(`\`redisQuorum()\` takes a list of clients, each ${ACCEPTED}.`);
  }
  // Of a hole in the list too, which `map()` would pass over.
  const ports = Array.from(clients as readonly AnyRedisClient[], (client) => {
    const port = portOf(client);
    if (port === undefined || port.isCluster) {
      throw new LockArgumentError(
        `\`redisQuorum()\` takes clients of single servers, each ${ACCEPTED}.`,
      );
    }
    return port;
  });
  if (new Set(ports).size < ports.length) {
    throw new LockArgumentError('`redisQuorum()` takes a client of its own for each server.');
  }
  return ports;
}

/** @throws LockArgumentError */
function nodeTimeoutOf(options: RedisQuorumOptions): number | undefined {
  checkOptions<RedisQuorumOptions>(options, { nodeTimeout: true });
  const { nodeTimeout } = options;
  return nodeTimeout === undefined ? undefined : checkTimeout('nodeTimeout', nodeTimeout);
}
