import { script } from './script.ts';
import { QUEUE, TELL, TIME } from './lua.ts';

/**
 * Takes a client out of a queue. What was reserved for it passes to the next at once.
 *
 * KEYS: lock, queue. ARGV: client.
 */
export const LEAVE = script(/* lua */ `
${TIME}${TELL}${QUEUE}
local lock, queue = unpack(KEYS)
local client = ARGV[1]
leave(queue, client)
local value = redis.call('GET', lock)
if value == 'holdfast reserved ' .. client then
  redis.call('DEL', lock)
  value = false
end
if not value then serve(lock, queue) end
return 1
`);
