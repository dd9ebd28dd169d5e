import { REGISTRATION, RESERVATION } from '@holdfast/core';

// Lua that several scripts have in common. KEYS holds the same per lock, always in this order: lock,
// queue. The README documents what the keys hold.

/** What scripts fail with when a key holds data of somebody else. */
export const FOREIGN = 'HOLDFAST_FOREIGN';

/** The start of the names of all channels. */
export const INBOX = 'holdfast:inbox:';

/** The first word of what the key of a lock holds: the version of its format. */
export const FORMAT = 'holdfast:1';

/** A day, in ms. */
const DAY = 86_400_000;

/** No lease is longer than this, in ms: what says so is broken, and has run out. */
const LONGEST_LEASE = 2 * DAY;

/** How many digits the length of a lease is padded to, so that what is behind it stays in its place. */
const LEASE_DIGITS = 9;

/** The length of a lease, in ms, as the key of a lock has it. */
export const leaseWord = (ms: number): string => String(ms).padStart(LEASE_DIGITS, '0');

/** Where the end of a lease is in what a lock's key holds, behind `held` or `kept`. */
const ENDS_AT = `${FORMAT} held `.length;

/** Tokens are times in µs: none is smaller, and none is larger than a safe integer less a block. */
export const FIRST_TOKEN = 1e15;
export const LAST_TOKEN = Number.MAX_SAFE_INTEGER - 1_024;

/** Scores of a queue above this are places; below 0 are ends of leases; those between are times. */
const PLACES = 1e14;

/**
 * The key of a lock stays for so long after a lease or a reservation, in ms: longer than those who are
 * registered may stay, because who finds no key looks at no queue.
 */
export const OUTLIVES = RESERVATION + REGISTRATION;

/** So many dead registrations are dropped one by one; of more the queue is made anew. */
const DEAD_AT_ONCE = 100;

/** So many live registrations at most are moved into a queue that is made anew. */
const LIVE_AT_ONCE = 200;

/** So many ends of leases are remembered per lock. */
const ENDS_KEPT = 64;

/** The server's time: `clock` in s and µs, `micros` in µs, exact in a double until the year 2255, `now` in ms. */
export const TIME = /* lua */ `
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
`;

export const PROLONG = /* lua */ `
local function prolong(lock, ends, kept)
  redis.call('PEXPIRE', lock, math.max(kept, ends - now))
  redis.call('SETRANGE', lock, ${ENDS_AT}, string.format('%.0f %0${LEASE_DIGITS}.0f', ends, ends - now))
end
`;

/**
 * `get(lock)`: what the key of a lock holds; `theirs` if that is data of somebody else, which is no error
 * where many locks are looked at.
 */
export const GET = /* lua */ `
local function get(lock)
  local value = redis.pcall('GET', lock)
  if type(value) ~= 'table' then return value end
  if string.find(value.err, 'WRONGTYPE', 1, true) then return 'theirs' end
  error(value.err, 0)
end
`;

/**
 * `read(value)`: what the key of a lock holds, as a table with a `kind`:
 *
 * - `held`, with `ends`, `token` (the first), `count`, `awaited` (`queue` if clients are registered, else
 *   `-`), `id`, `client`, `label` and `owner`; and with `ahead` if the clock was set back since its end was
 *   written, which says until when it lasts by the new time,
 * - `kept`: the same, released by its holder but busy until it ends,
 * - `reserved`, with `ends` and `client`: free, for this client to ask,
 * - `several`, with `ends`, `limit` and `used`: held by permits, of which two more keys tell,
 * - `free`, also where one of the others has run out; the rest of it is still there.
 *
 * All have `last`: the last fencing token that was granted, 0 where none is known.
 *
 * `write(lock, value, least)`: puts a value in the place of another, which stays at least so many ms.
 * `touch(lock, least)`: keeps its key for at least so many ms.
 * `free(lock, last)`: remembers nothing but the last token.
 * `prolong(lock, ends, kept)`: sets when a held lock ends, and keeps its key for so many ms. Its first
 * write is one that a server at `maxmemory` allows, and so allows the other. With the end it writes how
 * long the lease is, so that a clock that is set back makes no lease longer.
 * `correct(lock, held)`: writes when a held lock ends by the new time, if the clock was set back. Until then it
 * would seem to last a whole lease longer each time somebody looks.
 */
export const READ = /* lua */ `
${GET}
local function foreign() error('${FOREIGN}', 0) end

local function read(value)
  if not value then return { kind = 'free', last = 0 } end
  local state
  if string.find(value, '^%d+$') then
    local last = tonumber(value)
    if last < ${FIRST_TOKEN} or last > ${LAST_TOKEN} then foreign() end
    return { kind = 'free', last = last }
  end
  local kind, ends, rest = string.match(value, '^${FORMAT} (%l+) (%d+) (.+)$')
  ends = tonumber(ends)
  -- No lease or reservation lasts longer.
  local most = ${LONGEST_LEASE}
  if kind == 'held' or kind == 'kept' then
    local lease, token, count, awaited, id, client, label, owner =
      string.match(rest, '^(%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
    if not owner then foreign() end
    if owner == '=' then owner = id end
    state = {
      kind = kind, awaited = awaited, id = id, client = client, label = label, owner = owner,
      token = tonumber(token), count = tonumber(count), last = tonumber(token) + count - 1,
    }
    lease = tonumber(lease)
    if lease <= most and ends > now + lease then ends, state.ahead = now + lease, true end
  elseif kind == 'reserved' then
    local last, client = string.match(rest, '^(%d+) (.+)$')
    if not client then foreign() end
    state = { kind = kind, awaited = 'queue', client = client, last = tonumber(last) }
    most = ${RESERVATION}
  elseif kind == 'several' then
    local last, limit, used = string.match(rest, '^(%d+) (%d+) (%d+)$')
    if not used then foreign() end
    state = { kind = kind, awaited = 'queue', last = tonumber(last) }
    state.limit, state.used = tonumber(limit), tonumber(used)
  else
    foreign()
  end
  state.ends = ends
  if ends <= now or ends > now + most then state.kind = 'free' end
  return state
end

local function write(lock, value, least)
  local left = redis.call('PTTL', lock)
  -- Whoever has taken the expiry away gets it back.
  if left == -1 then left = ${DAY} end
  redis.call('SET', lock, value, 'PX', math.max(left, least))
end

${PROLONG}
-- A write that a server at maxmemory allows, and then allows the others. Tells how long the key stays.
local function touch(lock, least)
  local left = redis.call('PTTL', lock)
  if left == -1 then left = ${DAY} end
  left = math.max(left, least)
  redis.call('PEXPIRE', lock, left)
  return left
end

local function correct(lock, held)
  if held.ahead then prolong(lock, held.ends, touch(lock, 1)) end
end

local function free(lock, last)
  if last > 0 then
    write(lock, string.format('%.0f', last), 1)
  else
    redis.call('DEL', lock)
  end
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
 * The queue of a lock is a sorted set. A client that waits is in it three times: as itself and as
 * `label <client> <label>`, both with its place, which is the time of its coming in µs; and as
 * `until <client>` with the time at which its registration runs out, in ms. A client whose turn it is
 * leaves the queue for a reservation, so that one who does not use it is out. Nothing is done on time:
 * whoever asks moves a queue on.
 *
 * - `tidy(queue)`: drops those that have run out, wherever they stand, with bounded work,
 * - `first(queue)`: whose turn it is,
 * - `register(queue, client, label)`: at the end, unless it is there already; `leave(queue, client)`,
 * - `reserve(lock, queue, client, last)`: leaves the lock to a client for a while, and wakes it,
 * - `serve(lock, queue, last)`: does so for the first in line, or frees the lock.
 */
export const QUEUE = /* lua */ `
local function keep(queue, ms)
  if redis.call('PTTL', queue) < ms then redis.call('PEXPIRE', queue, ms) end
end

local function leave(queue, client)
  local place = redis.call('ZSCORE', queue, client)
  if place then redis.call('ZREMRANGEBYSCORE', queue, place, place) end
  redis.call('ZREM', queue, 'until ' .. client)
end

local function isAlive(deadline)
  deadline = tonumber(deadline or 0)
  -- Later than a registration can last: the clock was set back.
  return deadline > now and deadline <= now + ${REGISTRATION}
end

-- Keeps nothing but those who are alive: few, while the dead may be any number.
local function renewQueue(queue, alive)
  local entries = redis.call('ZRANGEBYSCORE', queue, '-inf', '(0', 'WITHSCORES', 'LIMIT', 0, ${ENDS_KEPT})
  for i = 1, #alive, 2 do
    local place = redis.call('ZSCORE', queue, string.sub(alive[i], 7))
    if place then
      entries[#entries + 1], entries[#entries + 2] = alive[i], alive[i + 1]
      for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, place, place)) do
        entries[#entries + 1], entries[#entries + 2] = member, place
      end
    end
  end
  local left = redis.call('PTTL', queue)
  redis.call('UNLINK', queue)
  if #entries == 0 then return end
  -- ZADD has the score first.
  for i = 1, #entries, 2 do entries[i], entries[i + 1] = entries[i + 1], entries[i] end
  redis.call('ZADD', queue, unpack(entries))
  redis.call('PEXPIRE', queue, math.max(left, ${REGISTRATION}))
end

local function tidy(queue)
  local past, ahead = '(' .. (now + ${REGISTRATION}), '(${PLACES}'
  local dead = redis.call('ZCOUNT', queue, 0, now) + redis.call('ZCOUNT', queue, past, ahead)
  if dead > ${DEAD_AT_ONCE} then
    local alive = redis.call('ZRANGEBYSCORE', queue, '(' .. now, now + ${REGISTRATION}, 'WITHSCORES', 'LIMIT', 0, ${LIVE_AT_ONCE + 1})
    if #alive <= ${2 * LIVE_AT_ONCE} then return renewQueue(queue, alive) end
  end
  if dead == 0 then return end
  for _, range in ipairs({ { 0, now }, { past, ahead } }) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, range[1], range[2], 'LIMIT', 0, ${DEAD_AT_ONCE})) do
      leave(queue, string.sub(member, 7))
    end
  end
end

local function first(queue)
  for _ = 1, ${DEAD_AT_ONCE} do
    local head = redis.call('ZRANGEBYSCORE', queue, ${PLACES}, '+inf', 'LIMIT', 0, 1)[1]
    if not head then return nil end
    local client = string.match(head, '^label (%S+)') or head
    if isAlive(redis.call('ZSCORE', queue, 'until ' .. client)) then return client end
    redis.call('ZREM', queue, head)
    leave(queue, client)
  end
  -- Very many are dead, and very many alive: one of these, and the next script drops more.
  local alive = redis.call('ZRANGEBYSCORE', queue, '(' .. now, now + ${REGISTRATION}, 'LIMIT', 0, 1)[1]
  return alive and string.sub(alive, 7)
end

local function register(queue, client, label)
  local place = redis.call('ZSCORE', queue, client)
  local tag = 'label ' .. client .. ' ' .. label
  if place then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, place, place)) do
      if member ~= client and member ~= tag then redis.call('ZREM', queue, member) end
    end
  else
    local last = redis.call('ZREVRANGEBYSCORE', queue, '+inf', ${PLACES}, 'WITHSCORES', 'LIMIT', 0, 1)
    place = math.max((last[2] or 0) + 1, micros)
  end
  redis.call('ZADD', queue, place, client, place, tag, now + ${REGISTRATION}, 'until ' .. client)
  keep(queue, ${REGISTRATION})
end

local function reserve(lock, queue, client, last)
  local value = string.format('${FORMAT} reserved %.0f %.0f %s', now + ${RESERVATION}, last, client)
  write(lock, value, ${OUTLIVES})
  leave(queue, client)
  tell(client, lock, 'wake ' .. client .. ' ' .. lock)
end

local function serve(lock, queue, last)
  tidy(queue)
  local client = first(queue)
  if client then reserve(lock, queue, client, last) else free(lock, last) end
end
`;

/**
 * `mark(lock, value)`: notes in what a held lock's key holds that clients are registered.
 */
export const MARK = /* lua */ `
local function mark(lock, value)
  local head, tail = string.match(value, '^(${FORMAT} %l+ %d+ %d+ %d+ %d+ )%- (.+)$')
  if head then redis.call('SET', lock, head .. 'queue ' .. tail, 'KEEPTTL') end
end
`;

/**
 * Statements that grant a lock alone, after the last token that is known: the lock's key holds the grant,
 * `token` is its first, `count` how many it has. Expects `lock`, `kept`, `held`, `micros`, and what the grant
 * is to have: `ends`, `lease`, `tokens`, `awaited`, `id`, `client`, `label`, `owner`.
 */
export const GRANT_ALONE = /* lua */ `
local token, count = micros, tokens
if held.last >= micros then token, count = held.last + 1, '1' end
local words = { '${FORMAT} held', ends, lease, string.format('%.0f', token), count, awaited, id, client, label, owner }
redis.call('SET', lock, table.concat(words, ' '), 'PX', kept)
`;

/**
 * `endEarly(lock, queue, held, reason)`: before the grant of a holder is ended by somebody else. The
 * queue remembers `<reason> <id>` for as long as the lease would have lasted, with the end of that as a
 * negative score, and the holder is told.
 */
export const END_EARLY = /* lua */ `
local function endEarly(lock, queue, held, reason)
  local left = math.max(held.ends - now, 1)
  redis.call('ZREMRANGEBYSCORE', queue, '(' .. -now, '(0')
  redis.call('ZADD', queue, -held.ends, reason .. ' ' .. held.id)
  if redis.call('ZCOUNT', queue, '-inf', '(0') > ${ENDS_KEPT} then
    redis.call('ZREMRANGEBYRANK', queue, ${ENDS_KEPT}, ${ENDS_KEPT})
  end
  keep(queue, left)
  tell(held.client, lock, 'lost ' .. held.client .. ' ' .. reason .. ' ' .. held.id .. ' ' .. lock)
end
`;
