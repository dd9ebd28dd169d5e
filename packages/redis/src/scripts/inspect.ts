import { script } from './script.ts';
import { READ, TIME } from './lua.ts';

/**
 * Who holds a lock, and how many clients other than the one that asks wait for it. Changes nothing.
 *
 * KEYS: lock, queue, token. ARGV: client.
 * Answers owner, label, token, ms left and the number of those who wait; nothing if it is free.
 */
export const INSPECT = script(/* lua */ `
${TIME}${READ}
local kind, held = read(KEYS[1])
if kind ~= 'grant' and kind ~= 'kept' then return false end
local waiters = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf')) do
  local client = string.match(member, '^until (.+)$')
  if client and client ~= ARGV[1] then waiters = waiters + 1 end
end
return { held.owner, held.label, tokensOf(KEYS[3]) or 0, redis.call('PTTL', KEYS[1]), waiters }
`);
