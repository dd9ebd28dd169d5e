import { script } from '../script.ts';
import { QUEUE, TELL, TIME } from './lua.ts';

/**
 * Ends grants and serves the next in line, as `LockStore.release` has it. Its first write is DEL or
 * PEXPIRE, so that a server at `maxmemory` allows it and all that follows.
 *
 * KEYS per grant: lock, queue. ARGV per grant: its id, or `<id> <ms to keep the lock busy>`.
 * Answers a string with a digit per grant, 1 for each that was there.
 */
export const RELEASE = script(/* lua */ `
local call, find = redis.call, string.find

-- All that is not usual is in here, so that most locks need not wait for it.
local function serveNext(lock, queue)
  ${TIME}${TELL}${QUEUE}
  serve(lock, queue)
end

local function endLater(lock, queue, value, ask)
  local id, keepFor = string.match(ask, '^(%S+) ?(%d*)$')
  local kind, holder = string.match(value, '^holdfast (%l+) (%S+) ')
  if holder ~= id or (kind ~= 'grant' and kind ~= 'kept') then return '0' end
  if keepFor == '' then
    call('DEL', lock)
    pcall(serveNext, lock, queue)
  elseif kind == 'grant' then
    call('PEXPIRE', lock, keepFor)
    call('SET', lock, 'holdfast kept ' .. string.sub(value, 16), 'PX', keepFor)
  end
  return '1'
end

local replies = ''
for i, ask in ipairs(ARGV) do
  local lock, queue, freed = KEYS[2 * i - 1], KEYS[2 * i], '0'
  local value = redis.pcall('GET', lock)
  if type(value) == 'string' then
    if find(value, 'holdfast grant ' .. ask .. ' ', 1, true) == 1 then
      call('DEL', lock)
      -- Whatever is the matter with the queue: the lock is free, and that is the answer.
      if call('EXISTS', queue) == 1 then pcall(serveNext, lock, queue) end
      freed = '1'
    else
      freed = endLater(lock, queue, value, ask)
    end
  end
  replies = replies .. freed
end
return replies
`);
