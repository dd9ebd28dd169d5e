import { script } from './script.ts';
import { END_EARLY, QUEUE, READ, TELL, TIME } from './lua.ts';

/**
 * Ends the grant of a lock, whoever holds it, tells its holder and serves the next in line.
 *
 * KEYS: lock, queue. Answers 1 if it was held.
 */
export const FORCE_RELEASE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local lock, queue = unpack(KEYS)
local kind, held = read(lock)
if kind ~= 'grant' and kind ~= 'kept' then return 0 end
endEarly(lock, queue, held, 'forced')
redis.call('DEL', lock)
serve(lock, queue)
return 1
`);
