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
 * ARGV: what most of them have in common, ttl, tokens, `1` to wait, `<client> <label>`; then per lock
 * the id, or all of `<id> <owner> <ttl> <tokens> <wait> <client> <label> <id to replace>`, where `=`
 * stands for the id as the owner, and for nothing to replace.
 * Answers per lock: the first token, if it is granted with all the tokens that were asked for; else a
 * list: 1 if granted + 2 if the replaced grant was there, then the first token and the number of
 * tokens, or the ms until the lock could be free.
 */
export const ACQUIRE = script(/* lua */ `
local call, find = redis.call, string.find
${TIME}
local today = micros - micros % ${DAY}

local function remember(fence, last, known)
  if known and known >= today then
    call('SET', fence, last, 'KEEPTTL')
  else
    call('SET', fence, last, 'PX', ${TOKEN_KEPT})
  end
end

-- All that is not usual is in here, so that most locks need not wait for it to be defined.
local function contend(lock, queue, fence, id, ttl, tokens, wait, who, owner, replaces)
  ${READ}${TELL}${QUEUE}${END_EARLY}
  local client = string.match(who, '^%S+')
  local replaced = 0

  local function grant()
    local known = call('GET', fence)
    local token, count = micros, tokens
    if known then
      known = tonumber(known)
      -- Nor is it for us if it is not a number.
      if not known or not (known <= ${LAST_TOKEN}) then error('${FOREIGN}', 0) end
      if known >= micros then token, count = known + 1, 1 end
    end
    local block = string.format(' %.0f %d', token, count)
    call('SET', lock, 'holdfast grant ' .. id .. ' ' .. who .. ' ' .. owner .. block, 'PX', ttl)
    remember(fence, string.format('%.0f', token + count - 1), known)
    return { 1 + replaced, token, count }
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
    return { 1, held.token, held.tokens }
  end
  if kind == 'grant' and held.owner == (owner == '=' and id or owner) then
    endEarly(lock, queue, held, 'superseded')
    if wait == '1' then leave(queue, client) end
    return grant()
  end
  return busy((not turn or turn == client) and 0 or ${RESERVATION})
end

local ttl, tokens, wait, who = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local usual = ' ' .. who .. ' = ' .. string.format('%.0f ', micros) .. tokens
local last = string.format('%.0f', micros + tokens - 1)

local function acquire(lock, queue, fence, ask)
  if find(ask, ' ', 1, true) then
    local id, owner, itsTtl, itsTokens, itsWait, itsWho, replaces =
      string.match(ask, '^(%S+) (%S+) (%d+) (%d+) (%d) (%S+ %S+) (%S+)$')
    return contend(lock, queue, fence, id, itsTtl, tonumber(itsTokens), itsWait, itsWho, owner, replaces)
  end
  local known = call('GET', fence)
  if known then known = tonumber(known) or ${LAST_TOKEN} end
  if (not known or known < micros) and call('EXISTS', queue) == 0
    and call('SET', lock, 'holdfast grant ' .. ask .. usual, 'NX', 'PX', ttl) then
    remember(fence, last, known)
    return micros
  end
  return contend(lock, queue, fence, ask, ttl, tonumber(tokens), wait, who, '=', '=')
end

local replies = {}
local n = 0
for k = 1, #KEYS, 3 do
  n = n + 1
  replies[n] = acquire(KEYS[k], KEYS[k + 1], KEYS[k + 2], ARGV[n + 4])
end
return replies
`);
