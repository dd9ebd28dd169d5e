import { MAX_TOKENS, RESERVATION } from '@holdfast/core';
import { script } from '../script.ts';
import { END_EARLY, FOREIGN, QUEUE, READ, TELL, TIME } from './lua.ts';

/** A day, in µs. */
const DAY = 86_400_000_000;

/**
 * With the first grant of a day a token's key gets this to live, in ms; later ones need not say it
 * again, and it still outlives each by a day, and by two leases of the longest.
 */
const TOKEN_KEPT = 345_600_000;

/** Above this a token and the block after it would not be safe integers. */
const LAST_TOKEN = Number.MAX_SAFE_INTEGER - MAX_TOKENS;

/**
 * Tries to acquire locks, each as `LockStore.acquire` has it. A grant with its tokens, or a refusal with
 * the place in the queue, is one step.
 *
 * The first token is max(previous + 1, the server's time in µs). A lock whose tokens have caught up
 * with the clock gets a single one: so they never run ahead of it by more than one block, and a server
 * that has lost its data starts above them.
 *
 * KEYS per lock: lock, queue, token.
 * ARGV per lock: `<id> <ttl> <tokens> <1 to wait> <id to replace, or => <client> <label> <owner>`, where
 * `=` is an owner that is the id; or just the id, if all else is as with the one before.
 * Answers per lock: its first token, if it is granted with all the tokens that were asked for, or less
 * than 0 if that is the only one; else a list: 1 if granted + 2 if the replaced grant was there, then
 * the first token and the number of tokens, or the ms until the lock could be free. For a single lock,
 * just that.
 */
export const ACQUIRE = script(/* lua */ `
local call, find, match = redis.call, string.find, string.match
${TIME}
local today = micros - micros % ${DAY}

-- What to do about a lock that is not simply free: answers a refusal, or grants it and answers nothing
-- but whether it replaced another grant. It is in a function so that most need not wait for all of it.
local function contend(lock, queue, fence, id, rest, ttl, wait, replaces)
  ${READ}${TELL}${QUEUE}${END_EARLY}
  local client, owner = match(rest, '^ (%S+) %S+ (%S+)$')
  local replaced = 0

  local function grant()
    call('SET', lock, 'holdfast grant ' .. id .. rest, 'PX', ttl)
    return nil, replaced
  end

  local function busy(delay)
    local left = call('PTTL', lock)
    -- Without an expiry it is not for us to say when.
    if left < 0 then left = ${RESERVATION} end
    if wait == '1' then register(queue, client) end
    return { replaced, left + delay }
  end

  local kind, held = read(lock)
  if held and held.id == replaces then
    call('DEL', lock)
    kind, replaced = nil, 2
  end
  if kind == 'reserved' then
    if wait == '1' and held.client == client then return grant() end
    return busy(0)
  end
  local turn = first(queue)
  if not kind then
    if turn and not (wait == '1' and turn == client) then
      reserve(lock, queue, turn)
      return busy(0)
    end
    if turn then leave(queue, turn) end
    return grant()
  end
  if kind == 'grant' and held.id == id then
    if tonumber(ttl) > call('PTTL', lock) then call('PEXPIRE', lock, ttl) end
    local token, tokens = tokensOf(fence)
    if token then return { 1, token, tokens } end
    return grant()
  end
  if kind == 'grant' and held.owner == (owner == '=' and id or owner) then
    endEarly(lock, queue, held, 'superseded')
    if wait == '1' then leave(queue, client) end
    return grant()
  end
  return busy((not turn or turn == client) and 0 or ${RESERVATION})
end

local replies = {}
-- All digits of micros: Lua by itself prints fewer, and its formats take their time.
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6) .. ' '
local ttl, asked, wait, replaces, rest
for i, id in ipairs(ARGV) do
  local lock, queue, fence = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  if find(id, ' ', 1, true) then
    id, ttl, asked, wait, replaces, rest = match(id, '^(%S+) (%d+) (%d+) (%d) (%S+)( .+)$')
  end
  local reply, replaced
  if call('EXISTS', queue) == 1 or not call('SET', lock, 'holdfast grant ' .. id .. rest, 'NX', 'PX', ttl) then
    reply, replaced = contend(lock, queue, fence, id, rest, ttl, wait, replaces)
  end
  if not reply then
    local token, tokens = micros, asked
    -- Most often these are the tokens, and what was there before needs only a look.
    local known = redis.pcall('SET', fence, stamp .. asked, 'KEEPTTL', 'GET')
    if not known then
      call('PEXPIRE', fence, ${TOKEN_KEPT})
    else
      local start, count = match(type(known) == 'string' and known or '', '^(%d+) (%d+)$')
      local last = start and start + count - 1
      if not last or last > ${LAST_TOKEN} then
        -- Not tokens of ours: they stay as they were, and the lock as if nobody had asked.
        if type(known) == 'string' then call('SET', fence, known, 'KEEPTTL') end
        call('DEL', lock)
        error('${FOREIGN}', 0)
      end
      if last >= micros then
        token, tokens = last + 1, 1
        call('SET', fence, string.format('%.0f 1', token), 'KEEPTTL')
      end
      if last < today then call('PEXPIRE', fence, ${TOKEN_KEPT}) end
    end
    if replaced == 2 then
      reply = { 3, token, tonumber(tokens) }
    else
      reply = tokens == asked and token or -token
    end
  end
  replies[i] = reply
end
return #replies == 1 and replies[1] or replies
`);
