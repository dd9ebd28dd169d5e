import { lockKey } from '../redis-keys.ts';
import { READ, TIME } from './lua.ts';
import { script, toList, toNumber, type ManyCall } from './script.ts';

/**
 * Whether locks are reserved for these clients. Changes nothing.
 *
 * KEYS per lock: lock. ARGV per lock: client. Answers 1 for each that is, or may be.
 */
const RESERVED = script(/* lua */ `
${TIME}${READ}
local replies = {}
for i, lock in ipairs(KEYS) do
  local ours, held = pcall(read, get(lock))
  -- Where several hold it, there may be room for it: asking tells.
  local may = ours and (held.kind == 'several' or held.kind == 'reserved' and held.client == ARGV[i])
  replies[i] = may and 1 or 0
end
return replies
`);

/** A locker and a lock: who waits, or is to be told. */
export interface QueuePlace {
  /** The locker, as the server calls it. */
  readonly member: string;
  readonly key: string;
}

/** Whether a lock is reserved for a locker. */
export const RESERVATIONS: ManyCall<QueuePlace, boolean> = {
  phase: 'acquire',
  script: RESERVED,
  keysEach: 1,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => {
    words.push(lockKey(key));
  },
  writeArgs: (all, words) => {
    for (const { member } of all) words.push(member);
  },
  read: (answers, index) => toNumber(toList(answers)[index] ?? 0) === 1,
};
