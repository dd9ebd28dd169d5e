import { script } from './script.ts';
import { END_EARLY, QUEUE, READ, TELL, TIME } from './lua.ts';

/**
 * Tries to acquire a lock on one of several servers: as the script for a single server does, but without
 * a queue and without tokens.
 *
 * KEYS: lock, queue. ARGV: id, ttl, id to replace or =, 1 to take only what is free, label, owner (= if
 * that is the id).
 * Answers 1 if granted + 2 if the replaced grant was there; and the id of who holds it instead.
 */
export const CLAIM = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local call = redis.call
local lock, queue = unpack(KEYS)
local id, ttl, replaces, onlyFree, label, owner = unpack(ARGV)
local replaced = 0

local function grant()
  call('SET', lock, 'holdfast grant ' .. id .. ' - ' .. label .. ' ' .. owner, 'PX', ttl)
  return { 1 + replaced, '' }
end

local kind, held = read(lock)
if held and held.id == replaces then
  call('DEL', lock)
  kind, replaced = nil, 2
end
if not kind then return grant() end
if kind == 'grant' and held.id == id then
  if tonumber(ttl) > call('PTTL', lock) then call('PEXPIRE', lock, ttl) end
  return { 1 + replaced, '' }
end
if kind == 'grant' and onlyFree ~= '1' and held.owner == (owner == '=' and id or owner) then
  endEarly(lock, queue, held, 'superseded')
  return grant()
end
return { replaced, held.id or '' }
`);
