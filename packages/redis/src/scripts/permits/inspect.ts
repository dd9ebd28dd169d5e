import { MAX_HOLDERS_SHOWN, type StoredGrant, type StoredHolder } from '@holdfast/core';
import { fromWord } from '../../redis-keys.ts';
import { readQueue, WAITERS, type Inspected } from '../inspect.ts';
import { READ, TIME } from '../lua.ts';
import { script, toList, toNumber, toText, type ManyCall } from '../script.ts';
import { KEYS_EACH, writePermitKeys } from './keys.ts';

/** What is told of each holder. */
const WORDS = 4;

/**
 * Who holds a lock that several hold, and who waits. Changes nothing.
 *
 * KEYS: lock, queue, holders, leases. ARGV: client. Answers the number of those who wait; a list with owner,
 * label, token and ms left of each holder; a list with label and since (µs) of those who wait.
 */
const INSPECT_PERMITS = script(/* lua */ `
${TIME}${READ}
local asker = ARGV[1]
${WAITERS}
local lock, queue, holders, leases = unpack(KEYS)
local ours, held = pcall(read, get(lock))
if not ours or held.kind ~= 'several' then return false end
local ids = redis.call('ZRANGEBYSCORE', leases, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, ${2 * MAX_HOLDERS_SHOWN})
local shown, waiting = {}, {}
for i = 1, #ids, 2 do
  local value = redis.call('HGET', holders, ids[i]) or ''
  local token, state, label, owner = string.match(value, '^(%d+) %d+ (%l+) %S+ (%S+) (%S+)$')
  if state == 'held' or state == 'kept' then
    if owner == '=' then owner = ids[i] end
    for _, word in ipairs({ owner, label, token, ids[i + 1] - now }) do shown[#shown + 1] = word end
  end
end
show(queue, waiting)
return { waiters(queue), shown, waiting }
`);

/** `null` for a lock that nobody holds any more, or that one holds alone by now. */
export const PERMIT_INSPECTIONS: ManyCall<Inspected, StoredGrant | null> = {
  phase: 'inspect',
  script: INSPECT_PERMITS,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: ([first], words) => {
    words.push(first?.member ?? '-');
  },
  read: (answer) => {
    if (!Array.isArray(answer)) return null;
    const [waiters, shown, waiting] = answer as unknown[];
    const holders = readHolders(toList(shown));
    const [first] = holders;
    if (first === undefined) return null;
    return { ...first, waiters: toNumber(waiters), holders, queue: readQueue(toList(waiting)) };
  },
};

function readHolders(words: readonly unknown[]): StoredHolder[] {
  const holders: StoredHolder[] = [];
  for (let index = 0; index + WORDS <= words.length; index += WORDS) {
    const [owner, label, token, left] = words.slice(index, index + WORDS);
    const fencingToken = toNumber(token);
    holders.push({
      owner: fromWord(toText(owner)),
      label: fromWord(toText(label)),
      fencingToken,
      since: Math.floor(fencingToken / 1_000),
      remaining: toNumber(left),
    });
  }
  return holders
    .toSorted((one, other) => one.fencingToken - other.fencingToken)
    .slice(0, MAX_HOLDERS_SHOWN);
}
