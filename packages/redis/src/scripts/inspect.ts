import { MAX_QUEUE_SHOWN, REGISTRATION, type QueuedClient, type StoredGrant } from '@holdfast/core';
import { fromWord, writeKeys } from '../redis-keys.ts';
import { READ, TIME } from './lua.ts';
import { script, toList, toNumber, toText, type ManyCall } from './script.ts';

/** Those who wait, other than `asker`: `waiters(queue)` counts them, `show(queue, reply)` appends them. */
export const WAITERS = /* lua */ `
local from, to = '(' .. now, now + ${REGISTRATION}

local function waiters(queue)
  local others = redis.call('ZCOUNT', queue, from, to)
  local own = redis.call('ZSCORE', queue, 'until ' .. asker)
  if own and tonumber(own) > now and tonumber(own) <= to then others = others - 1 end
  return others
end

local function show(queue, reply)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, from, to, 'LIMIT', 0, ${MAX_QUEUE_SHOWN + 1})) do
    local client = string.sub(member, 7)
    local place = client ~= asker and redis.call('ZSCORE', queue, client)
    if place then
      local label = ''
      for _, other in ipairs(redis.call('ZRANGEBYSCORE', queue, place, place)) do
        label = string.match(other, '^label %S+ (%S+)') or label
      end
      reply[#reply + 1], reply[#reply + 2] = label, place
    end
  end
end
`;

/**
 * Who holds locks, since when, and which clients other than the one that asks wait for it. Changes
 * nothing.
 *
 * KEYS per lock: lock, queue. ARGV: client, 1 to show the queues.
 * Answers per lock: owner, label, token, since (ms since 1970), ms left and the number of those who
 * wait, then label and since (µs) of those, in no order; 1 if several hold it, of whom other keys tell;
 * nothing if it is free. Data of somebody else is an error where the queue is to be shown, for then there
 * is but one lock; among many it is nothing.
 */
const INSPECT = script(/* lua */ `
${TIME}${READ}
local asker, shown = unpack(ARGV)
${WAITERS}local replies = {}
for k = 1, #KEYS, 2 do
  local ours, held = pcall(read, get(KEYS[k]))
  if not ours and shown == '1' then foreign() end
  local reply = false
  if ours and (held.kind == 'held' or held.kind == 'kept') then
    -- The first token is the time of the grant, but for a clock that was behind.
    local since = math.min(math.floor(held.token / 1000), now)
    local count = held.awaited == 'queue' and waiters(KEYS[k + 1]) or 0
    reply = { held.owner, held.label, held.token, since, held.ends - now, count }
    if count > 0 and shown == '1' then show(KEYS[k + 1], reply) end
  end
  if ours and held.kind == 'several' then reply = 1 end
  replies[(k + 1) / 2] = reply
end
return replies
`);

/** A lock that is looked at. */
export interface Inspected {
  readonly key: string;
  /** The locker that asks, as the server calls it. */
  readonly member: string;
}

/**
 * Who holds locks, all asked for by one locker; `null` for one that is free, `several` for one with permits.
 */
function inspections(shown: boolean): ManyCall<Inspected, StoredGrant | 'several' | null> {
  return {
    phase: 'inspect',
    script: INSPECT,
    most: shown ? 1 : 100,
    keysEach: 2,
    keyOf: ({ key }) => key,
    writeKeys,
    writeArgs: ([first], words) => {
      words.push(first?.member ?? '-', shown ? '1' : '0');
    },
    read: (answers, index) => {
      const reply = toList(answers)[index];
      if (Array.isArray(reply)) return readGrant(reply, shown);
      return reply === null || reply === undefined || reply === false ? null : 'several';
    },
  };
}

/** With its queue. */
export const INSPECTIONS = inspections(true);

/** Without their queues. */
export const OVERVIEWS = inspections(false);

function readGrant(reply: readonly unknown[], shown: boolean): StoredGrant {
  const [owner, label, token, since, left, waiters, ...rest] = reply;
  const fencingToken = toNumber(token);
  const grant: StoredGrant = {
    owner: fromWord(toText(owner)),
    label: fromWord(toText(label)),
    fencingToken,
    // A quorum's grants have no token to tell.
    since: fencingToken > 0 ? toNumber(since) : undefined,
    remaining: toNumber(left),
    waiters: toNumber(waiters),
  };
  return shown ? { ...grant, queue: readQueue(rest) } : grant;
}

export function readQueue(words: readonly unknown[]): QueuedClient[] {
  const queue: QueuedClient[] = [];
  for (let index = 0; index + 1 < words.length; index += 2) {
    const label = fromWord(toText(words[index]));
    queue.push({ label, since: toNumber(words[index + 1]) });
  }
  return queue
    .toSorted((one, other) => one.since - other.since)
    .slice(0, MAX_QUEUE_SHOWN)
    .map(({ label, since }) => ({ label, since: Math.floor(since / 1_000) }));
}
