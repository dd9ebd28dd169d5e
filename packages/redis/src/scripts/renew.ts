import type { RenewReply, RenewRequest } from '@holdfast/core';
import { lockKey, toWord } from '../redis-keys.ts';
import { FORMAT, GET, OUTLIVES, PROLONG, TIME } from './lua.ts';
import { script, toText, type ManyCall } from './script.ts';

const ONE = 49;

/**
 * Renews grants that are still there, never shortens one, and never makes one anew. With a ttl of 0 it
 * only looks. Its first write is PEXPIRE, which a server at `maxmemory` allows, and then allows the rest.
 *
 * KEYS per grant: lock. ARGV: the ttl of most; for how many ms the key remembers its token, 0 if it has
 * none; the ids of all as words, which costs the client less than an argument each, and before one with
 * another ttl `=<ttl>`.
 * Answers a string with a digit per grant, 1 for each that is there.
 */
const RENEW = script(/* lua */ `
${TIME}${GET}${PROLONG}
local usual, retention, other, replies = tonumber(ARGV[1]), tonumber(ARGV[2]), nil, {}

local function renew(lock, id, ttl)
  local ends, lease, holder = string.match(get(lock) or '', '^${FORMAT} held (%d+) (%d+) %d+ %d+ %S+ (%S+) ')
  ends = tonumber(ends)
  if holder ~= id or ends <= now then return '0' end
  -- Later than the lease can last: the clock was set back.
  local ahead = ends > now + lease
  if ahead then ends = now + lease end
  if ttl > 0 and (ahead or now + ttl > ends) then
    prolong(lock, math.max(ends, now + ttl), retention > 0 and math.max(retention, 2 * ttl, ttl + ${OUTLIVES}) or ttl)
  end
  return '1'
end

for word in string.gmatch(ARGV[3], '%S+') do
  if string.byte(word) == 61 then
    other = tonumber(string.sub(word, 2))
  else
    local i = #replies + 1
    replies[i] = renew(KEYS[i], word, other or usual)
    other = nil
  end
end
return table.concat(replies)
`);

/**
 * Answers `undefined` for a grant that is gone.
 *
 * @param retention how long a key remembers its last token, in ms; 0 where there are none
 */
export function renewals(retention: number): ManyCall<RenewRequest, RenewReply | undefined> {
  return {
    phase: 'renew',
    script: RENEW,
    keysEach: 1,
    keyOf: ({ key }) => key,
    writeKeys: ({ key }, words) => {
      words.push(lockKey(key));
    },
    writeArgs: (all, words) => {
      const usual = (all[0] as RenewRequest).ttl;
      let ids = '';
      for (const { id, ttl } of all) {
        if (ttl !== usual) ids += `=${ttl} `;
        ids += `${toWord(id)} `;
      }
      words.push(String(usual), String(Math.ceil(retention)), ids);
    },
    read: (answer, index) => (toText(answer).charCodeAt(index) === ONE ? 'renewed' : undefined),
  };
}
