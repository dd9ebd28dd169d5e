import { script } from './script.ts';

/**
 * Whether locks are reserved for these clients. Changes nothing.
 *
 * KEYS per lock: lock. ARGV per lock: client. Answers 1 for each that is.
 */
export const RESERVED = script(/* lua */ `
local replies = {}
for i, lock in ipairs(KEYS) do
  replies[i] = redis.pcall('GET', lock) == 'holdfast reserved ' .. ARGV[i] and 1 or 0
end
return replies
`);
