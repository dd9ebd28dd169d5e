import { RESERVATION, type AcquireReply, type AcquireRequest } from '@holdfast/core';
import { lockKey, queueKey, toWord } from '../redis-keys.ts';
import {
  END_EARLY,
  FIRST_TOKEN,
  FORMAT,
  LAST_TOKEN,
  MARK,
  OUTLIVES,
  QUEUE,
  READ,
  TELL,
  TIME,
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
 * ARGV per lock: `<ttl> <tokens> <1 to wait> <id to replace, or => <ms to keep> <id> <client> <label>
 * <owner, = if that is the id>`; or just the id, if all else is as with the one before. The key is kept
 * so many ms, for its tokens.
 * Answers per lock: its first token, if it is granted with all the tokens that were asked for, or less
 * than 0 if that is the only one; else a list: 1 if granted + 2 if the replaced grant was there, then
 * the first token and the number of tokens, or the ms until the lock could be free; or 4 and the limit
 * under which several hold it, if that is not 1. For a single lock, just that.
 */
export const ACQUIRE = script(/* lua */ `
local call, match = redis.call, string.match
${TIME}
-- As "%.0f" would print it, for less.
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6)
local replies = {}
local ttl, asked, wait, replaces, kept, id, who, ends

-- Grants it after the last token that is known.
local function grant(lock, last, awaited, get)
  local token, tokens, first = micros, asked, stamp
  if last >= micros then
    token, tokens = last + 1, '1'
    first = string.format('%.0f', token)
  end
  local value = '${FORMAT} held ' .. ends .. ' ' .. first .. ' ' .. tokens .. awaited .. id .. who
  if get then
    call('SET', lock, value, 'PX', kept, get)
  else
    call('SET', lock, value, 'PX', kept)
  end
  return token, tokens
end

for i = 1, #ARGV do
  local ask, lock, queue = ARGV[i], KEYS[2 * i - 1], KEYS[2 * i]
  if i == 1 or string.find(ask, ' ', 1, true) then
    ttl, asked, wait, replaces, kept, id, who = match(ask, '^(%d+) (%d+) (%d) (%S+) (%d+) (%S+)( .+)$')
    ends = now + ttl .. ''
  else
    id = ask
  end
  local value = call('GET', lock)
  local reply, token, tokens
  local last = value and tonumber(value)
  if not value then
    -- With GET, so that a server that is too old for the other scripts refuses here already.
    token, tokens = grant(lock, 0, ' - ', 'GET')
  elseif last and last >= ${FIRST_TOKEN} and last <= ${LAST_TOKEN} then
    token, tokens = grant(lock, last, ' - ')
  else
    -- It is not simply free. All that is about that is in here, so that most locks need not wait for it.
    ${READ}${TELL}${QUEUE}${MARK}${END_EARLY}
    local client, label, owner = match(who, '^ (%S+) (%S+) (%S+)$')
    local replaced = 0
    local held = read(value)

    local function take()
      if wait == '1' then leave(queue, client) end
      return grant(lock, held.last, first(queue) and ' queue ' or ' - ')
    end

    local function busy(left)
      if wait == '1' then
        register(queue, client, label)
        if held.awaited == '-' then mark(lock, value) end
      end
      return { replaced, left }
    end

    -- Answers a refusal, or nothing and the tokens.
    local function contend()
      if held.id == replaces and held.kind ~= 'free' then held.kind, replaced = 'free', 2 end
      if held.kind == 'reserved' then
        if wait == '1' and held.client == client then return nil, take() end
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
        return nil, take()
      end
      if held.kind == 'held' and held.id == id then
        prolong(lock, math.max(held.ends, now + ttl), kept)
        return { 1, held.token, held.count }
      end
      if held.kind == 'held' and held.owner == (owner == '=' and id or owner) then
        endEarly(lock, queue, held, 'superseded')
        return nil, take()
      end
      local behind = turn and turn ~= client
      return busy(held.ends - now + (behind and ${RESERVATION} or 0))
    end

    reply, token, tokens = contend()
    if not reply and replaced == 2 then reply = { 3, token, tonumber(tokens) } end
  end
  if not reply then reply = tokens == asked and token or -token end
  if #ARGV == 1 then return reply end
  replies[i] = reply
end
return replies
`);

/** What the script is told of an acquisition, around its id. */
interface Terms {
  /** The first that they were written for. */
  readonly request: AcquireRequest;
  readonly before: string;
  readonly after: string;
}

/** Writes the acquisitions of one locker. */
export class AcquireWriter {
  private readonly words: string;
  private terms: Terms | undefined;

  /**
   * @param member what the server calls the locker
   * @param retention how long a key remembers its last token, in ms
   */
  constructor(
    readonly client: string,
    readonly label: string,
    readonly member: string,
    private readonly retention: number,
  ) {
    this.words = `${member} ${toWord(label)}`;
  }

  /** Most often the same as those before. */
  termsOf(request: AcquireRequest): Terms {
    if (this.terms !== undefined && areAlike(request, this.terms.request)) return this.terms;
    const { id, owner, ttl, tokens, wait, replaces } = request;
    const replaced = replaces === undefined ? '=' : toWord(replaces);
    const kept = Math.ceil(Math.max(this.retention, 2 * ttl, ttl + OUTLIVES));
    const before = `${ttl} ${tokens} ${wait ? 1 : 0} ${replaced} ${kept} `;
    const after = ` ${this.words} ${owner === id ? '=' : toWord(owner)}`;
    return (this.terms = { request, before, after });
  }
}

/** But for their ids, and without a look at owners that were given. */
function areAlike(one: AcquireRequest, other: AcquireRequest): boolean {
  return (
    one.owner === one.id &&
    other.owner === other.id &&
    one.ttl === other.ttl &&
    one.tokens === other.tokens &&
    one.wait === other.wait &&
    one.replaces === other.replaces
  );
}

/** An acquisition and who asks for it. */
export interface Wanted {
  readonly request: AcquireRequest;
  readonly writer: AcquireWriter;
}

export const ACQUISITIONS: ManyCall<Wanted, AcquireReply> = {
  phase: 'acquire',
  script: ACQUIRE,
  most: AWAITED,
  keysEach: 2,
  keyOf: ({ request }) => request.key,
  writeKeys: ({ request: { key } }, words) => {
    words.push(lockKey(key), queueKey(key));
  },
  writeArgs: (all, words) => {
    let last: Terms | undefined;
    for (const { request, writer } of all) {
      const id = toWord(request.id);
      const terms = writer.termsOf(request);
      words.push(terms === last ? id : terms.before + id + terms.after);
      last = terms;
    }
  },
  read: (answers, index, { request }, count) => {
    const answer = count === 1 ? answers : toList(answers)[index];
    if (!Array.isArray(answer)) {
      const token = toNumber(answer);
      return { granted: true, token: Math.abs(token), tokens: token < 0 ? 1 : request.tokens };
    }
    const [kind = 0, first = 0, tokens = 1] = answer.map(toNumber);
    if (kind === 4) return { granted: false, conflict: first };
    const replaced = kind >= 2;
    if (kind % 2 === 1) return { granted: true, token: first, tokens, replaced };
    return { granted: false, retryAfter: first, replaced };
  },
};
