import type { AcquireReply } from '@holdfast/core';
import { writeAcquisitions, type Wanted } from '../acquire.ts';
import { END_EARLY, GRANT_ALONE, QUEUE, READ, TELL, TIME } from '../lua.ts';
import { script, toNumber, type ManyCall } from '../script.ts';
import { KEYS_EACH, writePermitKeys } from './keys.ts';
import { PERMITS } from './lua.ts';

/**
 * What an owner that wants a lock alone does with its own permit of it, after `ACQUIRE` has said that several
 * hold the lock. If nobody else does, it has the lock alone, past those who wait. Else its permit is ended if
 * that is asked for.
 *
 * KEYS: lock, queue, holders, leases. ARGV: as of `ACQUIRE`; 1 to give up the permit if others hold the lock too.
 * Answers the first token and the number of them; or 0 if it is not granted.
 */
const ACQUIRE_ALONE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}${PERMITS}
local lease, kept, wait, tokens, id, client, label, owner =
  match(ARGV[1], '^(%d+) (%d+) (%d) %S+ (%d+) %- (%S+) (%S+) (%S+) (%S+)$')
local waits = wait == '1'
local held = read(call('GET', lock))
if held.kind ~= 'several' then return 0 end
local own = call('HGET', holders, 'owner ' .. owner)
local ends = tonumber(own and call('ZSCORE', leases, own) or 0)
local holder = match(own and call('HGET', holders, own) or '', '^%d+ %d+ held (%S+)')
if not holder or ends <= now then return 0 end
-- Changes nothing. At maxmemory it is refused, which what comes after a first write is not.
call('SETRANGE', lock, 0, '')
endExpired(held)
-- What it was woken for, it does not want any more.
if waits and held.limit == 1 then drop(held, '=' .. client) end
local isAll = call('ZCARD', leases) == 1
local givesUp = ARGV[2] == '1' and held.limit == 1
if isAll or givesUp then
  endEarly(lock, queue, { ends = ends, id = own, client = holder }, 'superseded')
end
if not isAll then
  if givesUp then drop(held, own) end
  settle(held, 1)
  return 0
end
if waits then leave(queue, client) end
local awaited = first(queue) and 'queue' or '-'
ends = now + lease
${GRANT_ALONE}
call('UNLINK', holders, leases)
return { token, tonumber(count) }
`);

/** A grant, or `undefined` if there is none. */
export const ALONE_ACQUISITIONS: ManyCall<Wanted, AcquireReply | undefined> = {
  phase: 'acquire',
  script: ACQUIRE_ALONE,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: (all, words) => {
    writeAcquisitions(all, words);
    words.push(all[0]?.request.givesUp === true ? '1' : '0');
  },
  read: (answer) => {
    if (!Array.isArray(answer)) return undefined;
    const [token, tokens] = answer.map(toNumber);
    return { granted: true, token: token ?? 0, tokens: tokens ?? 1 };
  },
};
