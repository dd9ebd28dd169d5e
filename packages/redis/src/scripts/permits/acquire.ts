import { RESERVATION, type AcquireReply, type AcquireRequest, type Sharing } from '@holdfast/core';
import { toWord } from '../../redis-keys.ts';
import { END_EARLY, MARK, OUTLIVES, QUEUE, READ, TELL, TIME } from '../lua.ts';
import { script, toList, toNumber, type ManyCall } from '../script.ts';
import { KEYS_EACH, writePermitKeys } from './keys.ts';
import { PERMITS } from './lua.ts';

/**
 * Tries to acquire a permit of a lock, as `LockStore.acquire` has it with `sharing`.
 *
 * KEYS: lock, queue, holders, leases.
 * ARGV: id, client, label, owner (= if that is the id), ttl, ms to keep the lock's key, 1 to wait, 1 to give up
 * what its owner has if there is no room; limit, weight, r for a reader or p.
 * Answers `granted`, the token and how much weight still fits; or `busy` and the ms until the permit could
 * be had; or `conflict` and the limit under which the lock is held.
 */
const ACQUIRE_PERMIT = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${MARK}${END_EARLY}${PERMITS}
local id, client, label, owner, ttl, kept, wait, givesUp, limit, weight, kind = unpack(ARGV)
local waits, tag = wait == '1', label .. ' ' .. limit .. ' ' .. weight .. ' ' .. kind
limit, weight = tonumber(limit), tonumber(weight)
local value = call('GET', lock)
local held = read(value)

local function grant(state)
  if waits then leave(queue, client) end
  local token = math.max(micros, state.last + 1)
  state.last = token
  put(state, id, now + ttl, token, weight, 'held ' .. client .. ' ' .. label .. ' ' .. owner)
  if owner ~= '=' then call('HSET', holders, 'owner ' .. owner, id) end
  settle(state, tonumber(kept))
  return { 'granted', token, room(state) }
end

-- The first permit of a lock that nobody holds.
local function grantFirst()
  -- Changes nothing. At maxmemory it is refused, which what comes after a first write is not.
  call('SETRANGE', lock, 0, '')
  call('UNLINK', holders, leases)
  return grant({ kind = 'several', last = held.last, limit = limit, used = 0 })
end

local function busy(left)
  if waits then
    register(queue, client, tag)
    if held.awaited == '-' then mark(lock, value) end
  end
  return { 'busy', left, 0 }
end

local function conflict(current)
  if waits then leave(queue, client) end
  return { 'conflict', current, 0 }
end

local function beside()
  -- Its turn is over with this request, whatever comes of it.
  local woken = waits and call('HEXISTS', holders, '=' .. client) == 1
  if woken then drop(held, '=' .. client) end
  local token, state = match(call('HGET', holders, id) or '', '^(%d+) %d+ (%l+)')
  if state == 'held' then
    call('ZADD', leases, math.max(now + ttl, tonumber(call('ZSCORE', leases, id))), id)
    return { 'granted', tonumber(token), 0 }
  end
  -- Released, and kept busy: the request is late.
  if state == 'kept' then return busy(nextEnd()) end
  local own = owner ~= '=' and call('HGET', holders, 'owner ' .. owner)
  local spare, holder = match(own and call('HGET', holders, own) or '', '^%d+ (%d+) held (%S+)')
  local function giveUp()
    local ends = tonumber(call('ZSCORE', leases, own))
    endEarly(lock, queue, { ends = ends, id = own, client = holder }, 'superseded')
    drop(held, own)
  end
  if limit ~= held.limit then
    if not spare or call('ZCARD', leases) > 1 then return conflict(held.limit) end
    giveUp()
    held.limit = limit
    return grant(held)
  end
  if spare and fits(held, limit, weight, kind, tonumber(spare)) then
    giveUp()
    return grant(held)
  end
  tidy(queue)
  local head = first(queue)
  local turn = woken or not head or waits and head == client
  if turn and fits(held, limit, weight, kind, 0) then return grant(held) end
  -- It would wait for itself, and two who both want more for each other.
  if spare and givesUp == '1' then giveUp() end
  return busy(nextEnd() + (turn and 0 or ${RESERVATION}))
end

if held.kind == 'several' then
  endExpired(held)
  if call('ZCARD', leases) > 0 then
    local reply = beside()
    if reply[1] ~= 'granted' or reply[3] == 0 then settle(held, 1) end
    return reply
  end
  held.kind = 'free'
end
if held.kind == 'reserved' then
  if waits and held.client == client then return grantFirst() end
  return busy(held.ends - now)
end
tidy(queue)
local turn = first(queue)
if held.kind == 'free' then
  if turn and not (waits and turn == client) then
    reserve(lock, queue, turn, held.last)
    held.awaited = 'queue'
    return busy(${RESERVATION})
  end
  return grantFirst()
end
if held.kind == 'held' and held.owner == (owner == '=' and id or owner) then
  endEarly(lock, queue, held, 'superseded')
  return grantFirst()
end
if limit ~= 1 then return conflict(1) end
return busy(held.ends - now + (turn and turn ~= client and ${RESERVATION} or 0))
`);

/** What a client waits for, behind its label. */
export function wantedWords({ limit, weight, shared }: Sharing): string {
  return `${limit} ${weight} ${shared ? 'r' : 'p'}`;
}

/** An acquisition of a permit, and who asks for it. */
export interface WantedPermit {
  readonly request: AcquireRequest;
  readonly sharing: Sharing;
  /** The locker, as the server calls it. */
  readonly member: string;
  /** How long a key remembers its last token, in ms. */
  readonly retention: number;
}

export const PERMIT_ACQUISITIONS: ManyCall<WantedPermit, AcquireReply> = {
  phase: 'acquire',
  script: ACQUIRE_PERMIT,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ request }) => request.key,
  writeKeys: ({ request }, words) => writePermitKeys(request, words),
  writeArgs: ([wanted], words) => {
    const { request, sharing, member, retention } = wanted as WantedPermit;
    const { id, label, owner, ttl, wait, givesUp } = request;
    const kept = Math.ceil(Math.max(retention, 2 * ttl, ttl + OUTLIVES));
    const who = [toWord(id), member, toWord(label), owner === id ? '=' : toWord(owner)];
    words.push(...who, String(ttl), String(kept), wait ? '1' : '0', givesUp === true ? '1' : '0');
    words.push(...wantedWords(sharing).split(' '));
  },
  read: (answer) => {
    const [outcome, first = 0, room = 0] = toList(answer);
    const number = toNumber(first);
    if (outcome === 'granted') {
      return { granted: true, token: number, tokens: 1, room: toNumber(room) };
    }
    return outcome === 'conflict'
      ? { granted: false, conflict: number }
      : { granted: false, retryAfter: number };
  },
};
