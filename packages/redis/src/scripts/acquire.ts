import { MAX_TOKENS, RESERVATION } from '@holdfast/core';
import { script } from './script.ts';
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
 * ARGV per lock: `<ttl> <tokens> <1 to wait> <id to replace, or => <value>`, where the value is what the
 * key of the lock is to hold; or just the id, if all else is as with the one before.
 * Answers per lock: its first token, if it is granted with all the tokens that were asked for, or less
 * than 0 if that is the only one; else a list: 1 if granted + 2 if the replaced grant was there, then
 * the first token and the number of tokens, or the ms until the lock could be free. For a single lock,
 * just that.
 */
export const ACQUIRE = script(/* lua */ `
local call, match = redis.call, string.match
${TIME}
local replies = {}
local ttl, asked, wait, replaces, value, rest, stamp
for i = 1, #ARGV do
  local ask, lock, queue, fence = ARGV[i], KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  if i == 1 or string.find(ask, ' ', 1, true) then
    ttl, asked, wait, replaces, value = match(ask, '^(%d+) (%d+) (%d) (%S+) (.+)$')
    rest, stamp = nil, clock[1] .. ' ' .. clock[2] .. ' ' .. asked
  else
    rest = rest or match(value, '^holdfast grant %S+(.+)$')
    value = 'holdfast grant ' .. ask .. rest
  end
  local reply, replaced
  if call('EXISTS', queue) == 1 or not call('SET', lock, value, 'NX', 'PX', ttl) then
    -- It is not simply free. All that is about that is in here, so that most locks need not wait for it.
    ${READ}${TELL}${QUEUE}${END_EARLY}
    local id, client, owner = match(value, '^holdfast grant (%S+) (%S+) %S+ (%S+)$')
    replaced = 0

    local function grant()
      call('SET', lock, value, 'PX', ttl)
    end

    local function busy(delay)
      local left = call('PTTL', lock)
      -- Without an expiry it is not for us to say when.
      if left < 0 then left = ${RESERVATION} end
      if wait == '1' then register(queue, client) end
      return { replaced, left + delay }
    end

    -- Answers a refusal, or grants it and answers nothing.
    local function contend()
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

    reply = contend()
  end
  if not reply then
    local token, tokens = micros, asked
    -- Most often these are the tokens, and what was there before needs only a look.
    local known = redis.pcall('SET', fence, stamp, 'KEEPTTL', 'GET')
    if not known then
      call('PEXPIRE', fence, ${TOKEN_KEPT})
    else
      local s, us, count = match(type(known) == 'string' and known or '', '^(%d+) (%d+) (%d+)$')
      local last = s and s * 1000000 + us + count - 1
      if not last or last > ${LAST_TOKEN} then
        -- Not tokens of ours: they stay as they were, and the lock as if nobody had asked.
        if type(known) == 'string' then call('SET', fence, known, 'KEEPTTL') end
        call('DEL', lock)
        error('${FOREIGN}', 0)
      end
      if last >= micros then
        token, tokens = last + 1, 1
        call('SET', fence, string.format('0 %.0f 1', token), 'KEEPTTL')
      end
      if last < micros - micros % ${DAY} then call('PEXPIRE', fence, ${TOKEN_KEPT}) end
    end
    if replaced == 2 then
      reply = { 3, token, tonumber(tokens) }
    else
      reply = tokens == asked and token or -token
    end
  end
  if #ARGV == 1 then return reply end
  replies[i] = reply
end
return replies
`);
