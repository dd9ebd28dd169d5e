import { writeKeys } from '../redis-keys.ts';
import { QUEUE, READ, TELL, TIME } from './lua.ts';
import type { QueuePlace } from './reserved.ts';
import { script, toList, toNumber, type ManyCall } from './script.ts';

/**
 * Takes clients out of queues. What was reserved for one passes to the next at once.
 *
 * KEYS per lock: lock, queue. ARGV per lock: client. Answers 1 for each that several hold, where there may be
 * room for the next.
 */
const LEAVE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}
local replies = {}
for i, client in ipairs(ARGV) do
  local lock, queue = KEYS[2 * i - 1], KEYS[2 * i]
  leave(queue, client)
  local value = redis.call('GET', lock)
  local held = read(value)
  local vacant = held.kind == 'free' and (not value or held.awaited == 'queue')
  if vacant or held.kind == 'reserved' and held.client == client then serve(lock, queue, held.last) end
  replies[i] = held.kind == 'several' and 1 or 0
end
return replies
`);

/** Whether several hold the lock. */
export const LEAVES: ManyCall<QueuePlace, boolean> = {
  phase: 'release',
  script: LEAVE,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: (all, words) => {
    for (const { member } of all) words.push(member);
  },
  read: (answers, index) => toNumber(toList(answers)[index] ?? 0) === 1,
};
