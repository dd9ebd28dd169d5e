import { script } from '../script.ts';
import { READ, TIME } from './lua.ts';

/**
 * Who holds a lock, and how many clients other than the one that asks wait for it. Changes nothing.
 *
 * KEYS: lock, queue, waiting. ARGV: client.
 * Answers owner, label, token, ms left and the number of those who wait; nothing if it is free.
 */
export const INSPECT = script(/* lua */ `
${TIME}${READ}
local kind, held = read(KEYS[1])
if kind ~= 'grant' and kind ~= 'kept' then return false end
local waiters = 0
local registered = redis.call('HGETALL', KEYS[3])
for i = 1, #registered, 2 do
  if registered[i] ~= ARGV[1] and tonumber(registered[i + 1]) > now then waiters = waiters + 1 end
end
return { held.owner, held.label, held.token, redis.call('PTTL', KEYS[1]), waiters }
`);
