import { lockKey, queueKey } from '../../redis-keys.ts';

/** KEYS of the scripts about locks that several hold. */
export function writePermitKeys({ key }: { readonly key: string }, words: string[]): void {
  const lock = lockKey(key);
  words.push(lock, queueKey(key), `${lock}:holders`, `${lock}:leases`);
}

export const KEYS_EACH = 4;
