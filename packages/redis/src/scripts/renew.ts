import { script } from './script.ts';

/**
 * Renews grants that are still there, never shortens one, and never makes one anew. With a ttl of 0 it
 * only looks. Its only write is PEXPIRE, which a server at `maxmemory` allows.
 *
 * KEYS per grant: lock. ARGV: the ttl of most; the ids of all as words, which costs the client less than
 * an argument each, and before one with another ttl `=<ttl>`.
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

local usual, other, replies = tonumber(ARGV[1]), nil, {}
for word in string.gmatch(ARGV[2], '%S+') do
  if string.byte(word) == 61 then
    other = tonumber(string.sub(word, 2))
  else
    local i = #replies + 1
    replies[i] = renew(KEYS[i], word, other or usual)
    other = nil
  end
end
return table.concat(replies)
`);
