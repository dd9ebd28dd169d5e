import { REGISTRATION, RESERVATION } from '@holdfast/core';

// Lua that several scripts have in common. KEYS holds so many keys per lock, always in this order:
// lock, queue, token.

/** What scripts fail with when a key holds data of somebody else. */
export const FOREIGN = 'HOLDFAST_FOREIGN';

/** The start of the names of all channels. */
export const INBOX = 'holdfast:inbox:';

/** Scores of a queue below this are places, those above are times, in ms since 1970. */
const PLACES = 1e11;

/** The server's time: `clock` in s and µs, `micros` in µs, exact in a double until the year 2255, `now` in ms. */
export const TIME = /* lua */ `
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
`;

/**
 * `read(lock)`: what the key of a lock holds, if anything:
 *
 * - `holdfast grant <id> <client> <label> <owner>`: it is held, by the owner `=` if that is the id,
 * - `holdfast kept …`: the same, released by its holder but busy until it expires,
 * - `holdfast reserved <client>`: it is free, for this client to ask.
 *
 * `tokensOf(fence)`: the tokens of the last grant, the first and their number. They have a key of their
 * own, which lives on when the grant is over: `<s> <µs> <number>`, for the first is a time, most often as
 * the server tells it. (Lua by itself does not print all digits of the sum.)
 */
export const READ = /* lua */ `
local function read(lock)
  local value = redis.call('GET', lock)
  if not value then return nil end
  local kind, rest = string.match(value, '^holdfast (%l+) (.+)$')
  if kind == 'reserved' then return kind, { client = rest } end
  if kind ~= 'grant' and kind ~= 'kept' then error('${FOREIGN}', 0) end
  local id, client, label, owner = string.match(rest, '^(%S+) (%S+) (%S+) (%S+)$')
  if not id then error('${FOREIGN}', 0) end
  return kind, { id = id, client = client, label = label, owner = owner == '=' and id or owner }
end

local function tokensOf(fence)
  local s, us, count = string.match(redis.call('GET', fence) or '', '^(%d+) (%d+) (%d+)$')
  if not s then return nil end
  return s * 1000000 + us, tonumber(count)
end
`;

/**
 * `tell(client, lock, message)`: on a channel that is of the lock's key prefix and namespace, so that
 * rights can be given by them, and of the client's store. Who may not publish (an ACL), or nobody
 * listens: a message is a hint, and what it tells is found out without it, only later.
 */
export const TELL = /* lua */ `
local function tell(client, lock, message)
  local store = string.match(client, '^[^/]*')
  -- A client of a quorum does not listen.
  if store == '-' then return end
  redis.pcall('PUBLISH', '${INBOX}' .. string.match(lock, '^.*{[^:~}]*') .. '}:' .. store, message)
end
`;

/**
 * The queue of a lock is a sorted set. A client that waits is in it twice: with its place, and as
 * `until <client>` with the time at which its registration runs out. A client whose turn it is leaves
 * the queue for a reservation, so that one who does not use it is out. Nothing is done on time: whoever
 * asks moves a queue on.
 *
 * - `first(queue)`: whose turn it is; those before it that have run out are dropped,
 * - `register(queue, client)`: at the end, unless it is there already; `leave(queue, client)`,
 * - `reserve(lock, queue, client)`: leaves the lock to a client for a while, and wakes it,
 * - `serve(lock, queue)`: does so for the first in line.
 */
export const QUEUE = /* lua */ `
local function keep(queue, ms)
  if redis.call('PTTL', queue) < ms then redis.call('PEXPIRE', queue, ms) end
end

local function leave(queue, client)
  redis.call('ZREM', queue, client, 'until ' .. client)
end

local function first(queue)
  while true do
    local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    local client = head[1]
    if not client or tonumber(head[2]) >= ${PLACES} then return nil end
    local deadline = redis.call('ZSCORE', queue, 'until ' .. client)
    if deadline and tonumber(deadline) > now then return client end
    leave(queue, client)
  end
end

local function register(queue, client)
  first(queue)
  if not redis.call('ZSCORE', queue, client) then
    local last = redis.call('ZREVRANGEBYSCORE', queue, ${PLACES}, 0, 'WITHSCORES', 'LIMIT', 0, 1)
    redis.call('ZADD', queue, (last[2] or 0) + 1, client)
  end
  redis.call('ZADD', queue, now + ${REGISTRATION}, 'until ' .. client)
  keep(queue, ${REGISTRATION})
end

local function reserve(lock, queue, client)
  redis.call('SET', lock, 'holdfast reserved ' .. client, 'PX', ${RESERVATION})
  leave(queue, client)
  tell(client, lock, 'wake ' .. client .. ' ' .. lock)
end

local function serve(lock, queue)
  local client = first(queue)
  if client then reserve(lock, queue, client) end
end
`;

/**
 * `endEarly(lock, queue, held, reason)`: before the grant of a holder is ended by somebody else. The
 * queue remembers `<reason> <id>` for as long as the lease would have lasted, and the holder is told.
 */
export const END_EARLY = /* lua */ `
local function endEarly(lock, queue, held, reason)
  local left = math.max(redis.call('PTTL', lock), 1)
  redis.call('ZREMRANGEBYSCORE', queue, ${PLACES}, now)
  redis.call('ZADD', queue, now + left, reason .. ' ' .. held.id)
  keep(queue, left)
  tell(held.client, lock, 'lost ' .. held.client .. ' ' .. reason .. ' ' .. held.id .. ' ' .. lock)
end
`;
