import { RESERVATION } from '@holdfast/core';
import { script } from './script.ts';
import { QUEUE, TELL, TIME } from './lua.ts';

/**
 * Keeps a client's places in queues, as `LockStore.refresh` has it, and moves on queues whose holder
 * has crashed or whose reservation has run out.
 *
 * KEYS per lock: lock, queue. ARGV: client. Answers per lock: in how many ms to ask, 0 for now.
 */
export const REFRESH = script(/* lua */ `
${TIME}${TELL}${QUEUE}
local client = ARGV[1]
local function refresh(lock, queue)
  local value = redis.pcall('GET', lock)
  -- A key of somebody else's: asking tells.
  if type(value) == 'table' or value == 'holdfast reserved ' .. client then return 0 end
  register(queue, client)
  local turn = first(queue)
  if not value then
    reserve(lock, queue, turn)
    return turn == client and 0 or ${RESERVATION}
  end
  local left = redis.call('PTTL', lock)
  if left < 0 then left = ${RESERVATION} end
  if turn == client or string.find(value, 'holdfast reserved ', 1, true) == 1 then return left end
  return left + ${RESERVATION}
end

local replies = {}
for k = 1, #KEYS, 2 do replies[(k + 1) / 2] = refresh(KEYS[k], KEYS[k + 1]) end
return replies
`);
