import type { StoreEvent } from '@holdfast/core';
import type { ClientPort } from './connection/port.ts';

/**
 * Of each server the eviction policy, if it may drop locks. One that does not answer keeps nobody from
 * hearing of the others.
 */
export async function evictionPolicies(
  client: ClientPort,
): Promise<readonly Promise<string | undefined>[]> {
  const primaries = await client.primaries();
  return primaries.map(async (server) => {
    const info = await server.info('memory');
    const policy = /^maxmemory_policy:([\w-]+)/m.exec(info)?.[1];
    return policy === 'noeviction' ? undefined : policy;
  });
}

export function evictionWarning(policy: string): StoreEvent {
  const message =
    `The eviction policy of Redis is '${policy}': under memory pressure it drops locks that are ` +
    "held. Set 'maxmemory-policy' to 'noeviction'.";
  return { type: 'warning', code: 'HOLDFAST_REDIS_EVICTION', message };
}
