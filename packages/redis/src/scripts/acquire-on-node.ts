import { fromWord, toWord, writeKeys } from '../redis-keys.ts';
import { END_EARLY, FORMAT, leaseWord, QUEUE, READ, TELL, TIME } from './lua.ts';
import { script, toList, toNumber, toText, type ManyCall } from './script.ts';

/**
 * Tries to acquire a lock on one of several servers: as the script for a single server does, but without
 * a queue and without tokens.
 *
 * KEYS: lock, queue. ARGV: id, ttl, id to replace or =, 1 to take only what is free, label, owner (= if
 * that is the id).
 * Answers 1 if granted + 2 if the replaced grant was there; and the id of who holds it instead.
 */
const ACQUIRE_ON_NODE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local call = redis.call
local lock, queue = unpack(KEYS)
local id, ttl, replaces, onlyFree, label, owner = unpack(ARGV)
local replaced = 0
local held = read(call('GET', lock))

local function grant()
  local ends = string.format('%.0f ', now + ttl)
  local who = id .. ' - ' .. label .. ' ' .. owner
  call('SET', lock, '${FORMAT} held ' .. ends .. ttl .. ' 0 1 - ' .. who, 'PX', ttl + 0, 'GET')
  return { 1 + replaced, '' }
end

if held.id == replaces and held.kind ~= 'free' then held.kind, replaced = 'free', 2 end
if held.kind == 'free' then return grant() end
if held.kind == 'held' and held.id == id then
  local ends = math.max(held.ends, now + ttl)
  prolong(lock, ends, ends - now)
  return { 1 + replaced, '' }
end
if held.kind == 'held' and onlyFree ~= '1' and held.owner == (owner == '=' and id or owner) then
  endEarly(lock, queue, held, 'superseded')
  return grant()
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
    const { id, owner, label, ttl, replaces, onlyFree } = request as NodeAcquireRequest;
    words.push(
      toWord(id),
      leaseWord(ttl),
      replaces === undefined ? '=' : toWord(replaces),
      onlyFree === true ? '1' : '0',
      toWord(label),
      owner === id ? '=' : toWord(owner),
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
