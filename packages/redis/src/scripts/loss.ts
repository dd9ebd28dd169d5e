import { script } from './script.ts';
import { TIME } from './lua.ts';

/**
 * Why grants are gone. Changes nothing.
 *
 * KEYS per grant: lock, queue. ARGV per grant: id. Answers the reason of a loss, or `held`.
 */
export const LOSS = script(/* lua */ `
${TIME}
local function loss(lock, queue, id)
  for _, reason in ipairs({ 'superseded', 'forced' }) do
    local known = redis.pcall('ZSCORE', queue, reason .. ' ' .. id)
    if type(known) == 'string' and tonumber(known) > now then return reason end
  end
  local value = redis.pcall('GET', lock)
  if not value then return 'evicted' end
  if type(value) ~= 'string' then return 'stolen' end
  if string.find(value, 'holdfast reserved ', 1, true) == 1 then return 'evicted' end
  if string.find(value, 'holdfast grant ' .. id .. ' ', 1, true) == 1 then return 'held' end
  return 'stolen'
end

local replies = {}
for i, id in ipairs(ARGV) do replies[i] = loss(KEYS[2 * i - 1], KEYS[2 * i], id) end
return replies
`);
