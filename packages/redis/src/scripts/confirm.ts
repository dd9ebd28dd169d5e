import { script } from './script.ts';

/**
 * Writes the expiry of a grant anew, as it is: a write for which this connection can wait, and which no
 * replica has without the grant itself.
 *
 * KEYS: lock. ARGV: id. Answers 1 if the grant is there.
 */
export const CONFIRM = script(/* lua */ `
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then return 0 end
if string.find(value, 'holdfast grant ' .. ARGV[1] .. ' ', 1, true) ~= 1 then return 0 end
local left = redis.call('PTTL', KEYS[1])
return left > 0 and redis.call('PEXPIRE', KEYS[1], left) or 0
`);
