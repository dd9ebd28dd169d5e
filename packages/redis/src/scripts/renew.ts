import { script } from '../script.ts';

/**
 * Renews grants that are still there, never shortens one, and never makes one anew. With a ttl of 0 it
 * only looks. Its only write is PEXPIRE, which a server at `maxmemory` allows.
 *
 * KEYS per grant: lock. ARGV: the ttl of most; then per grant its id, or `<id> <ttl>`.
 * Answers a string with a digit per grant, 1 for each that is there.
 */
export const RENEW = script(/* lua */ `
local call = redis.call

local function renew(lock, id, ttl)
  local value = redis.pcall('GET', lock)
  if type(value) ~= 'string' then return '0' end
  if string.find(value, 'holdfast grant ' .. id .. ' ', 1, true) ~= 1 then return '0' end
  if ttl > 0 and ttl > call('PTTL', lock) then call('PEXPIRE', lock, ttl) end
  return '1'
end

local usual = tonumber(ARGV[1])
local replies = {}
for i, lock in ipairs(KEYS) do
  local ask = ARGV[i + 1]
  if string.find(ask, ' ', 1, true) then
    local id, ttl = string.match(ask, '^(%S+) (%d+)$')
    replies[i] = renew(lock, id, tonumber(ttl))
  else
    replies[i] = renew(lock, ask, usual)
  end
end
return table.concat(replies)
`);
