import type { StoreEvent } from '@holdfast/core';
import { isCluster, type RedisClient, type RedisCluster } from './connection/client.ts';

/** An eviction policy that may drop locks, if a server has one. Rejects if a server does not tell. */
export async function evictionPolicy(
  client: RedisClient | RedisCluster,
): Promise<string | undefined> {
  const servers = isCluster(client) ? client.nodes('master') : [client];
  const answers = await Promise.all(servers.map((server) => server.info('memory')));
  return answers
    .map((info) => /^maxmemory_policy:([\w-]+)/m.exec(info)?.[1])
    .find((policy) => policy !== undefined && policy !== 'noeviction');
}

export function evictionWarning(policy: string): StoreEvent {
  const message =
    `The eviction policy of Redis is '${policy}': under memory pressure it drops locks that are ` +
    "held. Set 'maxmemory-policy' to 'noeviction'.";
  return { type: 'warning', code: 'HOLDFAST_REDIS_EVICTION', message };
}
