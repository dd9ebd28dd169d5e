import type { StoreEvent } from '@holdfast/core';
import type { ClientPort } from './connection/port.ts';

/** An eviction policy that may drop locks, if a server has one. Rejects if a server does not tell. */
export async function evictionPolicy(client: ClientPort): Promise<string | undefined> {
  const answers = await Promise.all(client.primaries().map((one) => one.info('memory')));
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
