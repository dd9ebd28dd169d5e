import { RESERVATION, type AcquireReply, type AcquireRequest } from '@holdfast/core';
import { toWord, writeKeys } from '../redis-keys.ts';
import {
  END_EARLY,
  FIRST_TOKEN,
  FORMAT,
  GRANT_ALONE,
  LAST_TOKEN,
  leaseWord,
  MARK,
  OUTLIVES,
  QUEUE,
  READ,
  TELL,
} from './lua.ts';
import { AWAITED, script, toList, toNumber, type ManyCall } from './script.ts';

/**
 * Tries to acquire locks, each as `LockStore.acquire` has it. A grant with its tokens, or a refusal with
 * the place in the queue, is one step.
 *
 * The first token is max(previous + 1, the server's time in µs). A lock whose tokens have caught up
 * with the clock gets a single one: so they never run ahead of it by more than one block, and a server
 * that has lost its data starts above them.
 *
 * KEYS per lock: lock, queue.
 * ARGV per lock: `<lease> <ms to keep> <1 to wait> <id to replace, or => <tokens> - <id> <client> <label>
 * <owner, = if that is the id>`, of which all from the tokens on is what a lock's key holds; or just the id,
 * if all else is as with the one before. The key is kept so many ms, for its tokens.
 * Answers per lock: its first token, if it is granted with all the tokens that were asked for, or less
 * than 0 if that is the only one; else a list: 1 if granted + 2 if the replaced grant was there, then
 * the first token and the number of tokens, or the ms until the lock could be free; 8 in the place of 0 if
 * several hold it; or 4 and the limit under which they do, if that is not 1. For a single lock, just that.
 */
export const ACQUIRE = script(/* lua */ `
local call, match = redis.call, string.match
local clock = call('TIME')
local fraction = clock[2]
if #fraction < 6 then fraction = string.sub('00000' .. fraction, -6) end
-- The time in digits, so that most often no number is printed.
local stamp = clock[1] .. fraction
local micros = tonumber(stamp)
local now = (micros - micros % 1000) / 1000
local lease, kept, how, grant, ends, asked, who
local replies = {}

for i = 1, #ARGV do
  local ask, lock, queue = ARGV[i], KEYS[2 * i - 1], KEYS[2 * i]
  if i == 1 or string.find(ask, ' ', 1, true) then
    lease, kept, how, grant = match(ask, '^(%d+) (%d+) (%d %S+) (.+)$')
    ends = now + lease
    if #ARGV > 1 then asked, who = match(grant, '^(%d+ %- )%S+( .+)$') end
  else
    grant = asked .. ask .. who
  end
  local value = call('GET', lock)
  local last = value and tonumber(value) or 0
  local reply
  if not value then
    -- With GET, so that a server that is too old for the other scripts refuses here already.
    call('SET', lock, '${FORMAT} held ' .. ends .. ' ' .. lease .. ' ' .. stamp .. ' ' .. grant, 'PX', kept, 'GET')
    reply = micros
  elseif last >= ${FIRST_TOKEN} and last < micros then
    call('SET', lock, '${FORMAT} held ' .. ends .. ' ' .. lease .. ' ' .. stamp .. ' ' .. grant, 'PX', kept)
    reply = micros
  else
    -- It is not simply free. All that is about that is in here, so that most locks need not wait for it.
    ${READ}${TELL}${QUEUE}${MARK}${END_EARLY}
    local wait, replaces = match(how, '^(%d) (%S+)$')
    local tokens, id, client, label, owner = match(grant, '^(%d+) %- (%S+) (%S+) (%S+) (%S+)$')
    local replaced = 0
    local held

    -- Grants it after the last token that is known.
    local function take(awaited)
      ${GRANT_ALONE}
      if replaced == 2 then return { 3, token, tonumber(count) } end
      return count == tokens and token or -token
    end

    local function takeTurn()
      if wait == '1' then leave(queue, client) end
      return take(first(queue) and 'queue' or '-')
    end

    local function busy(left)
      if wait == '1' then
        register(queue, client, label)
        if held.awaited == '-' then mark(lock, value) end
      end
      return { replaced, left }
    end

    local function contend()
      if held.id == replaces and held.kind ~= 'free' then held.kind, replaced = 'free', 2 end
      if held.kind == 'reserved' then
        if wait == '1' and held.client == client then return takeTurn() end
        return busy(held.ends - now)
      end
      tidy(queue)
      if held.kind == 'several' and held.limit ~= 1 then
        if wait == '1' then leave(queue, client) end
        return { 4, held.limit }
      end
      local turn = first(queue)
      if held.kind == 'free' then
        if turn and not (wait == '1' and turn == client) then
          reserve(lock, queue, turn, held.last)
          held.awaited = 'queue'
          return busy(${RESERVATION})
        end
        return takeTurn()
      end
      if held.kind == 'held' and held.id == id then
        prolong(lock, math.max(held.ends, ends), kept)
        return { 1, held.token, held.count }
      end
      if held.kind == 'held' and held.owner == (owner == '=' and id or owner) then
        endEarly(lock, queue, held, 'superseded')
        return takeTurn()
      end
      local behind = turn and turn ~= client
      local refusal = busy(held.ends - now + (behind and ${RESERVATION} or 0))
      if held.kind == 'several' then refusal[1] = 8 end
      correct(lock, held)
      return refusal
    end

    if last >= ${FIRST_TOKEN} and last <= ${LAST_TOKEN} then
      -- Free, but its tokens have caught up with the clock.
      held = { last = last }
      reply = take('-')
    else
      held = read(value)
      reply = contend()
    end
  end
  if #ARGV == 1 then return reply end
  replies[i] = reply
end
return replies
`);

/** What the script is told of an acquisition around its id: most often the same as of the one before. */
export class AcquireTerms {
  readonly before: string;
  readonly after: string;

  /**
   * @param request the first that has them
   * @param member what the server calls its locker
   * @param retention how long a key remembers its last token, in ms
   */
  constructor(
    private readonly request: AcquireRequest,
    readonly member: string,
    retention: number,
  ) {
    const { id, owner, label, ttl, tokens, wait, replaces } = request;
    const kept = Math.ceil(Math.max(retention, 2 * ttl, ttl + OUTLIVES));
    const replaced = replaces === undefined ? '=' : toWord(replaces);
    this.before = `${leaseWord(ttl)} ${kept} ${wait ? 1 : 0} ${replaced} ${tokens} - `;
    this.after = ` ${member} ${toWord(label)} ${owner === id ? '=' : toWord(owner)}`;
  }

  /** Whether they are those of another acquisition too; not for an owner that was given. */
  fit(other: AcquireRequest): boolean {
    const { request } = this;
    return (
      request.client === other.client &&
      request.ttl === other.ttl &&
      request.label === other.label &&
      request.tokens === other.tokens &&
      request.wait === other.wait &&
      request.replaces === other.replaces &&
      request.owner === request.id &&
      other.owner === other.id
    );
  }
}

/** An acquisition and how it is asked for. */
export interface Wanted {
  readonly key: string;
  readonly request: AcquireRequest;
  readonly terms: AcquireTerms;
}

/** A refusal where several hold the lock. */
type BesideSeveral = Extract<AcquireReply, { granted: false }> & { readonly several: true };

/** Whether several hold a lock that somebody wanted alone: an owner may be one of them. */
export function isBesideSeveral(reply: AcquireReply): boolean {
  return !reply.granted && (reply.conflict !== undefined || 'several' in reply);
}

export function writeAcquisitions(all: readonly Wanted[], words: string[]): void {
  let last: AcquireTerms | undefined;
  for (const { request, terms } of all) {
    const id = toWord(request.id);
    words.push(terms === last ? id : terms.before + id + terms.after);
    last = terms;
  }
}

export const ACQUISITIONS: ManyCall<Wanted, AcquireReply> = {
  phase: 'acquire',
  script: ACQUIRE,
  most: AWAITED,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: writeAcquisitions,
  read: (answers, index, { request }, count) => {
    const answer = count === 1 ? answers : toList(answers)[index];
    if (!Array.isArray(answer)) {
      const token = typeof answer === 'number' ? answer : toNumber(answer);
      return { granted: true, token: Math.abs(token), tokens: token < 0 ? 1 : request.tokens };
    }
    const [kind = 0, first = 0, tokens = 1] = answer.map(toNumber);
    if (kind === 4) return { granted: false, conflict: first };
    if (kind === 8) {
      const beside: BesideSeveral = { granted: false, retryAfter: first, several: true };
      return beside;
    }
    const replaced = kind >= 2;
    if (kind % 2 === 1) return { granted: true, token: first, tokens, replaced };
    return { granted: false, retryAfter: first, replaced };
  },
};
