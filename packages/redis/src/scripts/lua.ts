import { REGISTRATION, RESERVATION } from '@holdfast/core';

// Lua that several scripts have in common. Every script gets the keys of its locks as KEYS, so many
// per lock, and the prefix of inbox channels as the first of ARGV where it may send messages.

/** What scripts fail with when a key holds data of somebody else. */
export const FOREIGN = 'HOLDFAST_FOREIGN';

/** `now`: the server's time in ms; `micros`: in µs. Exact in a double until the year 2255. */
export const TIME = /* lua */ `
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
`;

/**
 * `read(lock)`: what the key of a lock holds, if anything:
 *
 * - `holdfast grant <id> <first token> <tokens> <client> <label> <owner>`: it is held,
 * - `holdfast kept …`: the same, released by its holder but busy until it expires,
 * - `holdfast reserved <client>`: it is free, for this client to ask.
 */
export const READ = /* lua */ `
local function read(lock)
  local value = redis.call('GET', lock)
  if not value then return nil end
  local kind, rest = string.match(value, '^holdfast (%l+) (.+)$')
  if kind == 'reserved' then return kind, { client = rest } end
  if kind ~= 'grant' and kind ~= 'kept' then error('${FOREIGN}', 0) end
  local id, token, tokens, client, label, owner =
    string.match(rest, '^(%S+) (%d+) (%d+) (%S+) (%S+) (%S+)$')
  if not id then error('${FOREIGN}', 0) end
  return kind, { id = id, token = token, tokens = tokens, client = client, label = label, owner = owner }
end
`;

/**
 * `tell(client, message)`. Who may not publish (an ACL), or nobody listens: a message is a hint, and
 * what it tells is found out without it, only later.
 */
export const TELL = /* lua */ `
local inbox = ARGV[1]
local function tell(client, message)
  redis.pcall('PUBLISH', inbox .. string.match(client, '^[^/]*'), message)
end
`;

/**
 * The queue of a lock: a sorted set of clients in the order of their coming, and a hash of the times at
 * which their registrations run out. A client whose turn it is leaves the queue for a reservation, so
 * that one who does not use it is out. Nothing is done on time: whoever asks moves a queue on.
 *
 * - `first(queue, waiting)`: whose turn it is; those before it that have run out are dropped,
 * - `register`, `leave`: at the end, unless it is there already, and out,
 * - `reserve`: leaves the lock to a client for a while, and wakes it,
 * - `serve`: does so for the first in line.
 */
export const QUEUE = /* lua */ `
local function leave(queue, waiting, client)
  redis.call('ZREM', queue, client)
  redis.call('HDEL', waiting, client)
end

local function first(queue, waiting)
  while true do
    local client = redis.call('ZRANGE', queue, 0, 0)[1]
    if not client then return nil end
    if tonumber(redis.call('HGET', waiting, client) or 0) > now then return client end
    leave(queue, waiting, client)
  end
end

local function register(queue, waiting, client)
  first(queue, waiting)
  if not redis.call('ZSCORE', queue, client) then
    local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0
    redis.call('ZADD', queue, last + 1, client)
  end
  redis.call('HSET', waiting, client, now + ${REGISTRATION})
  redis.call('PEXPIRE', queue, ${REGISTRATION})
  redis.call('PEXPIRE', waiting, ${REGISTRATION})
end

local function reserve(lock, queue, waiting, client)
  redis.call('SET', lock, 'holdfast reserved ' .. client, 'PX', ${RESERVATION})
  leave(queue, waiting, client)
  local message = 'wake ' .. client .. ' ' .. lock
  if string.sub(client, 1, 1) == 's' then
    -- Sharded, where the server has that: then the message does not go to every node of a cluster.
    local sent = redis.pcall('SPUBLISH', lock .. ':' .. string.match(client, '^[^/]*'), message)
    if type(sent) == 'number' then return end
  end
  tell(client, message)
end

local function serve(lock, queue, waiting)
  local client = first(queue, waiting)
  if client then reserve(lock, queue, waiting, client) end
  return client
end
`;

/**
 * `endEarly(lock, ended, held, reason)`: before the grant of a holder is ended by somebody else. Its
 * id is remembered for as long as its lease would have lasted, and it is told.
 */
export const END_EARLY = /* lua */ `
local function endEarly(lock, ended, held, reason)
  local left = math.max(redis.call('PTTL', lock), 1)
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', now)
  redis.call('ZADD', ended, now + left, reason .. ' ' .. held.id)
  redis.call('PEXPIRE', ended, math.max(left, redis.call('PTTL', ended)))
  tell(held.client, 'lost ' .. held.client .. ' ' .. lock .. ' ' .. reason .. ' ' .. held.id)
end
`;
