import { script } from '../script.ts';
import { QUEUE, TELL, TIME } from './lua.ts';

/**
 * Ends grants and serves the next in line, as `LockStore.release` has it. Its first write is DEL or
 * PEXPIRE, so that a server at `maxmemory` allows it and all that follows.
 *
 * KEYS per grant: lock, queue, waiting. ARGV after the inbox, per grant: id, ms to keep the lock busy.
 * Answers 1 for each that was there.
 */
export const RELEASE = script(/* lua */ `
${TIME}${TELL}${QUEUE}
local function release(lock, queue, waiting, id, keepFor)
  local value = redis.pcall('GET', lock)
  if type(value) ~= 'string' then return 0 end
  local kind, rest = string.match(value, '^holdfast (%l+) (.+)$')
  if (kind ~= 'grant' and kind ~= 'kept') or string.match(rest, '^%S+') ~= id then return 0 end
  if keepFor == '0' then
    redis.call('DEL', lock)
    -- Whatever is the matter with the queue: the lock is free, and that is the answer.
    pcall(serve, lock, queue, waiting)
  elseif kind == 'grant' then
    redis.call('PEXPIRE', lock, keepFor)
    redis.call('SET', lock, 'holdfast kept ' .. rest, 'PX', keepFor)
  end
  return 1
end

local replies = {}
for i = 1, #KEYS / 3 do
  local k = 3 * i
  replies[i] = release(KEYS[k - 2], KEYS[k - 1], KEYS[k], ARGV[2 * i], ARGV[2 * i + 1])
end
return replies
`);
