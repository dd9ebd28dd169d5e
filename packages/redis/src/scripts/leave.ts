import { script } from '../script.ts';
import { QUEUE, TELL, TIME } from './lua.ts';

/**
 * Takes a client out of a queue. What was reserved for it passes to the next at once.
 *
 * KEYS: lock, queue, waiting. ARGV: inbox, client.
 */
export const LEAVE = script(/* lua */ `
${TIME}${TELL}${QUEUE}
local lock, queue, waiting = unpack(KEYS)
local client = ARGV[2]
leave(queue, waiting, client)
local value = redis.call('GET', lock)
if value == 'holdfast reserved ' .. client then
  redis.call('DEL', lock)
  value = false
end
if not value then serve(lock, queue, waiting) end
return 1
`);
