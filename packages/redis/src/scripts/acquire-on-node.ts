import { fromWord, toWord, writeKeys } from '../redis-keys.ts';
import { END_EARLY, FORMAT, leaseWord, QUEUE, READ, TELL, TIME } from './lua.ts';
import { script, toList, toNumber, toText, type ManyCall } from './script.ts';

/**
 * Tries to acquire a lock on one of several servers: as the script for a single server does, but without
 * a queue and without tokens.
 *
 * KEYS: lock, queue. ARGV: id, ttl, id to replace or =, 1 to take only what is free, label, owner (= if
 * that is the id), number of the attempt.
 * Answers 1 if granted + 2 if the replaced grant was there; and the id of who holds it instead.
 */
const ACQUIRE_ON_NODE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local call = redis.call
local lock, queue = unpack(KEYS)
local id, ttl, replaces, onlyFree, label, owner, attempt = unpack(ARGV)
local replaced = 0
local held = read(call('GET', lock))

-- Where others note that clients are registered, is which attempt it was granted to.
local function grant(least)
  local ends = math.max(now + ttl, least)
  local who = id .. ' - ' .. label .. ' ' .. owner
  local value = string.format('${FORMAT} held %.0f %s 0 1 #%s %s', ends, ttl, attempt, who)
  call('SET', lock, value, 'PX', ends - now, 'GET')
  return { 1 + replaced, '' }
end

if held.id == replaces and held.kind ~= 'free' then held.kind, replaced = 'free', 2 end
if held.kind == 'free' then return grant(0) end
if held.kind == 'held' and held.id == id then
  local known = tonumber(string.match(held.awaited, '^#(%d+)$') or 0)
  if tonumber(attempt) > known then return grant(held.ends) end
  local ends = math.max(held.ends, now + ttl)
  prolong(lock, ends, ends - now)
  return { 1 + replaced, '' }
end
if held.kind == 'held' and onlyFree ~= '1' and held.owner == (owner == '=' and id or owner) then
  endEarly(lock, queue, held, 'superseded')
  return grant(0)
end
correct(lock, held)
return { replaced, held.id or '' }
`);

/** What one server of a quorum is asked for. */
export interface NodeAcquireRequest {
  readonly key: string;
  readonly id: string;
  readonly owner: string;
  readonly label: string;
  readonly ttl: number;
  /** The id of an earlier grant, to be ended in the same step. */
  readonly replaces?: string | undefined;
  /** Grows from request to request: a late end of an earlier grant of the same id does not end this one. */
  readonly attempt?: number | undefined;
  /** Only if the key is free: an owner does not take over what it holds under another id. */
  readonly onlyFree?: boolean | undefined;
}

export interface NodeAcquireReply {
  readonly granted: boolean;
  readonly replaced: boolean;
  /** The id that holds it instead, if known. */
  readonly holder?: string | undefined;
}

export const NODE_ACQUISITIONS: ManyCall<NodeAcquireRequest, NodeAcquireReply> = {
  phase: 'acquire',
  script: ACQUIRE_ON_NODE,
  most: 1,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: ([request], words) => {
    const {
      id,
      owner,
      label,
      ttl,
      replaces,
      onlyFree,
      attempt = 1,
    } = request as NodeAcquireRequest;
    words.push(
      toWord(id),
      leaseWord(ttl),
      replaces === undefined ? '=' : toWord(replaces),
      onlyFree === true ? '1' : '0',
      toWord(label),
      owner === id ? '=' : toWord(owner),
      String(attempt),
    );
  },
  read: (answer) => {
    const [kind, holder] = toList(answer);
    const granted = toNumber(kind) % 2 === 1;
    const replaced = toNumber(kind) >= 2;
    const id = toText(holder);
    return granted || id === ''
      ? { granted, replaced }
      : { granted, replaced, holder: fromWord(id) };
  },
};
