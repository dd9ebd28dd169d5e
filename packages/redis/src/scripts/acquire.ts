import { MAX_TOKENS, RESERVATION } from '@holdfast/core';
import { script } from '../script.ts';
import { END_EARLY, FOREIGN, QUEUE, READ, TELL, TIME } from './lua.ts';

/** A token's key outlives the last grant by this, in ms, or by two leases. */
const TOKEN_KEPT = 86_400_000;

/** Above this a token and the block after it would not be safe integers. */
const LAST_TOKEN = Number.MAX_SAFE_INTEGER - MAX_TOKENS;

/**
 * Tries to acquire locks, each as `LockStore.acquire` has it. A grant and its tokens, or a refusal and
 * the place in the queue, are one step.
 *
 * The first token is max(previous + 1, the server's time in µs). A lock whose tokens have caught up
 * with the clock gets a single one: so they never run ahead of it by more than one block, and a server
 * that has lost its data starts above them.
 *
 * KEYS per lock: lock, queue, waiting, token, ended.
 * ARGV after the inbox, per lock: id, owner, `<client> <label>`, `<ttl> <tokens> <wait> [<replaces>]`.
 * Answers per lock: 1 if granted + 2 if the replaced grant was there; then first token and number of
 * tokens, or ms until the lock could be free and 0.
 */
export const ACQUIRE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local function nextToken(fence, asked)
  local last = redis.call('GET', fence)
  if not last then return micros, asked end
  last = tonumber(string.match(last, '^%d+$'))
  if not last or last > ${LAST_TOKEN} then error('${FOREIGN}', 0) end
  if last < micros then return micros, asked end
  return last + 1, 1
end

local function busy(lock, queue, waiting, ask, delay)
  local left = redis.call('PTTL', lock)
  -- Without an expiry it is not for us to say when.
  if left < 0 then left = ${RESERVATION} end
  if ask.wait then register(queue, waiting, ask.client) end
  return ask.replaced, left + delay, 0
end

local function grant(lock, fence, ask)
  local token, tokens = nextToken(fence, ask.tokens)
  local kept = math.max(${TOKEN_KEPT}, 2 * ask.ttl)
  redis.call('SET', fence, string.format('%.0f', token + tokens - 1), 'PX', kept)
  local block = string.format(' %.0f %.0f ', token, tokens)
  local value = 'holdfast grant ' .. ask.id .. block .. ask.who .. ' ' .. ask.owner
  redis.call('SET', lock, value, 'PX', ask.ttl)
  return 1 + ask.replaced, token, tokens
end

local function acquire(lock, queue, waiting, fence, ended, ask)
  local kind, held = read(lock)
  if held and held.id == ask.replaces then
    redis.call('DEL', lock)
    kind, ask.replaced = nil, 2
  end
  if kind == 'reserved' then
    if ask.wait and held.client == ask.client then return grant(lock, fence, ask) end
    return busy(lock, queue, waiting, ask, 0)
  end
  local turn = first(queue, waiting)
  if not kind then
    if turn and not (ask.wait and turn == ask.client) then
      reserve(lock, queue, waiting, turn)
      return busy(lock, queue, waiting, ask, 0)
    end
    if turn then leave(queue, waiting, turn) end
    return grant(lock, fence, ask)
  end
  if kind == 'grant' and held.id == ask.id then
    if ask.ttl > redis.call('PTTL', lock) then redis.call('PEXPIRE', lock, ask.ttl) end
    return 1 + ask.replaced, tonumber(held.token), tonumber(held.tokens)
  end
  if kind == 'grant' and held.owner == ask.owner then
    endEarly(lock, ended, held, 'superseded')
    if ask.wait then leave(queue, waiting, ask.client) end
    return grant(lock, fence, ask)
  end
  local delay = (not turn or turn == ask.client) and 0 or ${RESERVATION}
  return busy(lock, queue, waiting, ask, delay)
end

local replies = {}
for i = 1, #KEYS / 5 do
  local k, a = 5 * i, 4 * i - 2
  local who = ARGV[a + 2]
  local ttl, tokens, wait, replaces = string.match(ARGV[a + 3], '^(%d+) (%d+) (%d) ?(%S*)$')
  local ask = {
    id = ARGV[a], owner = ARGV[a + 1], who = who, client = string.match(who, '^%S+'),
    ttl = tonumber(ttl), tokens = tonumber(tokens), wait = wait == '1',
    replaces = replaces, replaced = 0,
  }
  local r = 3 * i
  replies[r - 2], replies[r - 1], replies[r] =
    acquire(KEYS[k - 4], KEYS[k - 3], KEYS[k - 2], KEYS[k - 1], KEYS[k], ask)
end
return replies
`);
