import type { StoreLoss } from '@holdfast/core';
import { toWord, writeKeys } from '../redis-keys.ts';
import { READ, TIME } from './lua.ts';
import type { QueuePlace } from './reserved.ts';
import { script, toList, toText, type ManyCall } from './script.ts';

/**
 * Why grants are gone. Changes nothing; but what a replica says is not believed, so each begins with a
 * write of nothing, which a replica refuses.
 *
 * KEYS per grant: lock, queue. ARGV per grant: id. Answers the reason of a loss, or `held`.
 */
const LOSS = script(/* lua */ `
${TIME}${READ}
local refusal = redis.pcall('ZREM', KEYS[2], '-')
if type(refusal) == 'table' and string.find(refusal.err, 'READONLY', 1, true) then return refusal end

local function loss(lock, queue, id)
  for _, reason in ipairs({ 'superseded', 'forced' }) do
    local ends = redis.pcall('ZSCORE', queue, reason .. ' ' .. id)
    if type(ends) == 'string' and -tonumber(ends) > now then return reason end
  end
  local value = get(lock)
  local ours, held = pcall(read, value)
  if not ours then return 'stolen' end
  if held.kind == 'free' or held.kind == 'reserved' or held.kind == 'several' then return 'evicted' end
  return held.kind == 'held' and held.id == id and 'held' or 'stolen'
end

local replies = {}
for i, id in ipairs(ARGV) do replies[i] = loss(KEYS[2 * i - 1], KEYS[2 * i], id) end
return replies
`);

/** A grant, and the locker it was made to. */
export interface KnownGrant extends QueuePlace {
  readonly id: string;
}

/** Why a grant is gone, or `held`. */
export const LOSSES: ManyCall<{ readonly key: string; readonly id: string }, StoreLoss | 'held'> = {
  phase: 'renew',
  script: LOSS,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: (all, words) => {
    for (const { id } of all) words.push(toWord(id));
  },
  read: (answers, index) => toText(toList(answers)[index] ?? 'held') as StoreLoss | 'held',
};
