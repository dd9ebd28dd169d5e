import { RESERVATION } from '@holdfast/core';
import { toWord, writeKeys } from '../redis-keys.ts';
import { MARK, QUEUE, READ, TELL, TIME } from './lua.ts';
import type { QueuePlace } from './reserved.ts';
import { script, toList, toNumber, type ManyCall } from './script.ts';

/**
 * Keeps a client's places in queues, as `LockStore.refresh` has it, and moves on queues whose holder
 * has crashed or whose reservation has run out.
 *
 * KEYS per lock: lock, queue. ARGV: client; per lock its label. Answers per lock: in how many ms to ask,
 * 0 for now, less than that where several hold the lock, whose queue is left.
 */
const REFRESH = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${MARK}
local client = ARGV[1]
local function refresh(lock, queue, label)
  local value = get(lock)
  local ours, held = pcall(read, value)
  -- A key of somebody else's: asking tells.
  if not ours or held.kind == 'reserved' and held.client == client then return 0 end
  if held.kind == 'several' then return -1 end
  tidy(queue)
  register(queue, client, label)
  local turn = first(queue)
  if held.kind == 'free' then
    reserve(lock, queue, turn, held.last)
    return turn == client and 0 or ${RESERVATION}
  end
  if held.awaited == '-' then mark(lock, value) end
  correct(lock, held)
  local left = held.ends - now
  if turn == client or held.kind == 'reserved' then return left end
  return left + ${RESERVATION}
end

local replies = {}
for k = 1, #KEYS, 2 do replies[(k + 1) / 2] = refresh(KEYS[k], KEYS[k + 1], ARGV[(k + 3) / 2]) end
return replies
`);

/** A registration that is to live on. */
export interface Refreshed extends QueuePlace {
  /** Who waits, for people. */
  readonly label: string;
  /** For what, where that is not the lock alone. */
  readonly wanted?: string | undefined;
}

/** What a queue has beside a client: who waits, and for what. */
export function tagOf({ label, wanted }: Refreshed): string {
  return wanted === undefined ? toWord(label) : `${toWord(label)} ${wanted}`;
}

/** All by one locker. */
export const REFRESHES: ManyCall<Refreshed, number> = {
  phase: 'acquire',
  script: REFRESH,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: (all, words) => {
    words.push((all[0] as Refreshed).member);
    for (const place of all) words.push(tagOf(place));
  },
  read: (hints, index) => toNumber(toList(hints)[index] ?? 0),
};
