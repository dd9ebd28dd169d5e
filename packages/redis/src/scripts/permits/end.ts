import { toWord } from '../../redis-keys.ts';
import { END_EARLY, QUEUE, READ, TELL, TIME } from '../lua.ts';
import { script, toNumber, type ManyCall } from '../script.ts';
import { KEYS_EACH, writePermitKeys } from './keys.ts';
import { PERMITS } from './lua.ts';

/**
 * Ends a permit and serves those who wait. Its first write is PEXPIRE, which a server at `maxmemory` allows,
 * and then the rest.
 *
 * KEYS: lock, queue, holders, leases. ARGV: id, ms to keep its room, 1 if its client asks right after this.
 * Answers 1 if it was there.
 */
const RELEASE_PERMIT = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${PERMITS}
local id, keepFor = ARGV[1], tonumber(ARGV[2])
local ours, held = pcall(read, get(lock))
if not ours or held.kind ~= 'several' then return 0 end
local token, weight, rest = match(call('HGET', holders, id) or '', '^(%d+) (%d+) %l+ (.+)$')
if not token then return 0 end
touch(lock, 1)
endExpired(held)
if call('HEXISTS', holders, id) == 1 then
  if keepFor > 0 then
    call('HSET', holders, id, token .. ' ' .. weight .. ' kept ' .. rest)
    call('ZADD', leases, now + keepFor, id)
  else
    drop(held, id)
  end
end
settle(held, 1, ARGV[3] == '1' and match(rest, '^(%S+)'))
return 1
`);

/** A permit to be ended. */
export interface EndedPermit {
  readonly key: string;
  readonly id: string;
  readonly keepFor?: number | undefined;
  readonly asks?: boolean | undefined;
}

/** Whether the permit was there. */
export const PERMIT_RELEASES: ManyCall<EndedPermit, boolean> = {
  phase: 'release',
  script: RELEASE_PERMIT,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: ([permit], words) => {
    const { id, keepFor = 0, asks } = permit as EndedPermit;
    words.push(toWord(id), String(Math.ceil(keepFor)), asks === true ? '1' : '0');
  },
  read: (answer) => toNumber(answer) === 1,
};

/** So many permits are ended by one script. */
const AT_ONCE = 200;

/**
 * Ends the permits of one owner, or all, tells their holders and serves those who wait.
 *
 * KEYS: lock, queue, holders, leases. ARGV: owner, = for all. Answers 0 if there was none, 1 if all are ended,
 * 2 if there may be more.
 */
const END_PERMITS = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}${PERMITS}
local owner = ARGV[1]
local held = read(call('GET', lock))
if held.kind ~= 'several' then return 0 end
touch(lock, 1)
endExpired(held)
local given = owner ~= '=' and call('HGET', holders, 'owner ' .. owner)
local ids = owner == '=' and call('ZRANGE', leases, 0, ${AT_ONCE - 1}) or { given or owner }
local found = 0
local function finish(all)
  for _, id in ipairs(all) do
    local state, client, its = match(call('HGET', holders, id) or '', '^%d+ %d+ (%l+) (%S+) %S+ (%S+)$')
    local named = owner == '=' or its == (id == owner and '=' or owner)
    if named and (state == 'held' or state == 'kept') then
      local ends = tonumber(call('ZSCORE', leases, id))
      endEarly(lock, queue, { ends = ends, id = id, client = client }, 'forced')
      drop(held, id)
      found = 1
    end
  end
end
finish(ids)
-- Beside what its owner holds, there may be what it has released and keeps for a while.
if owner ~= '=' and (given or found == 0) then finish(call('ZRANGE', leases, 0, -1)) end
settle(held, 1)
return found == 1 and #ids == ${AT_ONCE} and 2 or found
`);

interface OwnedPermits {
  readonly key: string;
  /** Absent for all. */
  readonly owner?: string | undefined;
}

/** Whether there was none, all are ended, or there may be more. */
export const PERMIT_ENDINGS: ManyCall<OwnedPermits, 'none' | 'done' | 'more'> = {
  phase: 'force-release',
  script: END_PERMITS,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: ([permits], words) => {
    words.push(permits?.owner === undefined ? '=' : toWord(permits.owner));
  },
  read: (answer) => (['none', 'done', 'more'] as const)[toNumber(answer)] ?? 'done',
};
