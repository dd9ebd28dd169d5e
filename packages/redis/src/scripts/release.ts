import { script } from './script.ts';
import { QUEUE, TELL, TIME } from './lua.ts';

/**
 * Ends grants and serves the next in line, as `LockStore.release` has it. Its first write is DEL or
 * PEXPIRE, so that a server at `maxmemory` allows it and all that follows.
 *
 * KEYS per grant: lock, queue. ARGV per grant: its id, or `<id> <ms to keep the lock busy>`.
 * Answers a string with a digit per grant, 1 for each that was there.
 */
export const RELEASE = script(/* lua */ `
local call, find, match = redis.call, string.find, string.match

local replies = ''
for i = 1, #ARGV do
  local lock, queue, ask, becomes = KEYS[2 * i - 1], KEYS[2 * i], ARGV[i], nil
  local value = redis.pcall('GET', lock)
  if type(value) == 'string' then
    if find(value, 'holdfast grant ' .. ask .. ' ', 1, true) == 1 then
      becomes = 'free'
    else
      local id, keepFor = match(ask, '^(%S+) ?(%d*)$')
      local kind, holder = match(value, '^holdfast (%l+) (%S+) ')
      if holder == id and (kind == 'grant' or kind == 'kept') then
        becomes = keepFor == '' and 'free' or 'kept'
        if becomes == 'kept' and kind == 'grant' then
          call('PEXPIRE', lock, keepFor)
          call('SET', lock, 'holdfast kept ' .. string.sub(value, 16), 'PX', keepFor)
        end
      end
    end
  end
  if becomes == 'free' then
    call('DEL', lock)
    if call('EXISTS', queue) == 1 then
      -- Whatever is the matter with the queue: the lock is free, and that is the answer.
      pcall(function()
        ${TIME}${TELL}${QUEUE}
        serve(lock, queue)
      end)
    end
  end
  replies = replies .. (becomes and '1' or '0')
end
return replies
`);
