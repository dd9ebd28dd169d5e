import { script } from '../script.ts';

/**
 * Renews grants that are still there, never shortens one, and never makes one anew. With a ttl of 0 it
 * only looks. Its only write is PEXPIRE, which a server at `maxmemory` allows.
 *
 * KEYS per grant: lock. ARGV per grant: id, ttl. Answers 1 for each that is there.
 */
export const RENEW = script(/* lua */ `
local replies = {}
for i, lock in ipairs(KEYS) do
  local id, ttl = ARGV[2 * i - 1], tonumber(ARGV[2 * i])
  local value = redis.pcall('GET', lock)
  if type(value) == 'string' and string.find(value, 'holdfast grant ' .. id .. ' ', 1, true) == 1 then
    if ttl > 0 and ttl > redis.call('PTTL', lock) then redis.call('PEXPIRE', lock, ttl) end
    replies[i] = 1
  else
    replies[i] = 0
  end
end
return replies
`);
