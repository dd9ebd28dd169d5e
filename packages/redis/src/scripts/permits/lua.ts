import { RESERVATION } from '@holdfast/core';
import { FORMAT, OUTLIVES } from '../lua.ts';

// A lock that several hold. What its key holds says only that it is one, until when, and how much of its
// limit is used: `several <ends> <last token> <limit> <used>`. Two more keys are there while that is so:
//
// - `holders`, a hash: by the id of each permit `<token> <weight> <state> <client> <label> <owner>`, where
//   the state is `held` or `kept`, and the owner `=` if that is the id; by `=<client>` the same for room
//   that is reserved; by `owner <owner>` the id of the permit of an owner that was given.
// - `leases`, a sorted set: the same ids, with the end of each in ms.
//
// Both are looked at only while the lock's key says `several`. What a client in the queue waits for is
// behind its label: `<limit> <weight> <p for a permit, r for a reader>`, or nothing for the lock alone.

/** So many of what has run out, and of those who wait, one script deals with. */
const AT_ONCE = 100;

/** Where nobody is counted: so many readers more fit beside one. */
const ANY_NUMBER = 1_000;

/**
 * KEYS of every script: lock, queue, holders, leases, for one lock. Expects `TIME`, `READ`, `TELL`, `QUEUE`.
 *
 * - `fits(held, limit, weight, kind, spare)`,
 * - `put(held, id, ends, token, weight, rest)` and `drop(held, id)`: one permit or reservation more or less,
 * - `endExpired(held)`: drops what has run out,
 * - `settle(held, least, asking)`: serves those who wait as far as there is room, and writes what has become of
 *   the lock, whose key stays for at least so many ms; a client that asks by itself is not woken.
 */
export const PERMITS = /* lua */ `
local call, match, format = redis.call, string.match, string.format
local lock, queue, holders, leases = unpack(KEYS)

local function fits(held, limit, weight, kind, spare)
  if limit ~= held.limit then return false end
  return kind == 'r' or kind == 'p' and held.used - spare + weight <= limit
end

local function put(held, id, ends, token, weight, rest)
  call('HSET', holders, id, format('%.0f %.0f ', token, weight) .. rest)
  call('ZADD', leases, ends, id)
  held.used = held.used + weight
end

local function drop(held, id)
  local weight, owner = match(call('HGET', holders, id) or '', '^%d+ (%d+) .* (%S+)$')
  call('ZREM', leases, id)
  if not weight then return end
  call('HDEL', holders, id)
  held.used = held.used - weight
  if owner ~= '=' and call('HGET', holders, 'owner ' .. owner) == id then
    call('HDEL', holders, 'owner ' .. owner)
  end
end

local function endExpired(held)
  for _, id in ipairs(call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, ${AT_ONCE})) do
    drop(held, id)
  end
end

-- What a client in the queue waits for.
local function wanted(client)
  local place = call('ZSCORE', queue, client)
  for _, member in ipairs(place and call('ZRANGEBYSCORE', queue, place, place) or {}) do
    local limit, weight, kind = match(member, '^label %S+ %S+ (%d+) (%d+) (%l)$')
    if kind then return tonumber(limit), tonumber(weight), kind end
  end
  return 1, 1, 'alone'
end

local function admit(held, asking)
  tidy(queue)
  for _ = 1, ${AT_ONCE} do
    local client = first(queue)
    if not client then return end
    local limit, weight, kind = wanted(client)
    if limit == held.limit and not fits(held, limit, weight, kind, 0) then return end
    leave(queue, client)
    -- One with another limit is to ask, and hear of it.
    if limit == held.limit then
      put(held, '=' .. client, now + ${RESERVATION}, 0, weight, 'reserved ' .. client .. ' - =')
    end
    if client ~= asking or limit ~= held.limit then tell(client, lock, 'wake ' .. client .. ' ' .. lock) end
  end
end

local function settle(held, least, asking)
  if call('ZCARD', leases) > 0 then admit(held, asking) end
  local last = call('ZREVRANGE', leases, 0, 0, 'WITHSCORES')
  if not last[1] then
    call('UNLINK', holders, leases)
    return serve(lock, queue, held.last)
  end
  held.ends = tonumber(last[2])
  local stays = math.max(held.ends - now, 1) + ${OUTLIVES}
  local value = format('${FORMAT} several %.0f %.0f %.0f %.0f', held.ends, held.last, held.limit, held.used)
  write(lock, value, math.max(least, stays))
  keep(holders, stays)
  keep(leases, stays)
end

-- In how many ms the next of all has run out.
local function nextEnd()
  return math.max((call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2] or now) - now, 0)
end

local function room(held)
  if first(queue) then return 0 end
  return held.limit == 1 and ${ANY_NUMBER} or held.limit - held.used
end
`;
