import type { ReleaseRequest } from '@holdfast/core';
import { toWord, writeKeys } from '../redis-keys.ts';
import { FORMAT, leaseWord, OUTLIVES, QUEUE, READ, TELL, TIME } from './lua.ts';
import { AWAITED, script, type ManyCall } from './script.ts';

const ONE = 49;

/** A token, which has always as many digits. */
const TOKEN = '1764401234567890';

/** Where the first token is in what a lock's key holds, and the number of them: behind numbers of fixed length. */
const TOKEN_AT = `${FORMAT} held 1764401234567 ${leaseWord(1)} `.length;
const COUNT_AT = TOKEN_AT + `${TOKEN} `.length;

/**
 * Ends grants and serves the next in line, as `LockStore.release` has it.
 *
 * A client that knows the last token of a grant most often still holds it: the lock is freed, with that
 * token to be remembered, by one command that also tells what was there, and what was there comes back
 * if it was not the grant, or is a later one of the same acquisition, whose tokens the client does not know:
 * they must not be forgotten. Else the first write is one that a server at `maxmemory` allows, and so
 * allows all that follows.
 *
 * KEYS per grant: lock, queue. ARGV per grant: its id; its last token, or `-` if that is not known, or
 * `-<ms>` to keep the lock busy for so long; of a quorum `#<attempt>` behind that, whose grant, or that of an
 * earlier one, is to be ended.
 * Answers a string with a digit per grant, 1 for each that was there.
 */
const RELEASE = script(/* lua */ `
local call, find = redis.call, string.find
local replies = ''
for i = 1, #ARGV, 2 do
  local lock, id, last, reply = KEYS[i], ARGV[i], ARGV[i + 1], nil
  if string.byte(last) ~= 45 then
    local value = redis.pcall('SET', lock, last, 'KEEPTTL', 'GET')
    if not value then
      call('DEL', lock)
      reply = '0'
    elseif type(value) == 'table' then
      if find(value.err, 'READONLY', 1, true) then return value end
    -- Where the id is if nobody is registered. No other lock's key holds it there.
    elseif find(value, ' - ' .. id .. ' ', ${COUNT_AT}, true)
      and string.sub(value, ${TOKEN_AT + 1}, ${TOKEN_AT + TOKEN.length}) <= last then
      reply = '1'
    else
      call('SET', lock, value, 'KEEPTTL')
    end
  end
  if not reply then
    -- The lock was not simply freed: ends the grant with all that belongs to it.
    ${TIME}${READ}${TELL}${QUEUE}
    local queue = KEYS[i + 1]
    local keepFor, attempt = string.match(last, '^%-(%d*)#?(%d*)$')
    keepFor, attempt = tonumber(keepFor) or 0, tonumber(attempt) or math.huge
    local value = get(lock)
    local ours, held = pcall(read, value)
    -- Data of somebody else is no grant of ours, nor is a newer one to be ended.
    if not ours or held.id ~= id or attempt < (tonumber(string.match(held.awaited, '^#(%d+)$')) or 0) then
      reply = '0'
    else
      reply = '1'
      local left = touch(lock, 1)
      if keepFor == 0 then
        free(lock, held.last)
        -- Whatever is the matter with the queue: the lock is free, and that is the answer.
        if held.awaited == 'queue' then pcall(serve, lock, queue, held.last) end
      else
        local kept, count = string.gsub(value, '^${FORMAT} held ', '${FORMAT} kept ')
        if count == 1 then
          call('SET', lock, kept, 'KEEPTTL')
          prolong(lock, now + keepFor, math.max(left, keepFor + ${OUTLIVES}))
        end
      end
    end
  end
  replies = replies .. reply
end
return replies
`);

/** A grant to be ended. */
export interface EndedGrant extends ReleaseRequest {
  /** Of a quorum: the last attempt whose grant is to be ended. */
  readonly attempt?: number | undefined;
}

export const RELEASES: ManyCall<EndedGrant, boolean> = {
  phase: 'release',
  script: RELEASE,
  most: AWAITED,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: (all, words) => {
    for (const { id, keepFor = 0, lastToken, attempt } of all) {
      const until = attempt === undefined ? '' : `#${attempt}`;
      if (keepFor > 0) words.push(toWord(id), `-${Math.ceil(keepFor)}${until}`);
      else words.push(toWord(id), lastToken === undefined ? `-${until}` : String(lastToken));
    }
  },
  read: (answer, index) => String(answer).charCodeAt(index) === ONE,
};
