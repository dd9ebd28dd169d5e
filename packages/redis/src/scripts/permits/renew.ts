import type { RenewReply, RenewRequest } from '@holdfast/core';
import { toWord } from '../../redis-keys.ts';
import { FORMAT, OUTLIVES, READ, TIME } from '../lua.ts';
import { script, toText, type ManyCall } from '../script.ts';
import { KEYS_EACH, writePermitKeys } from './keys.ts';

const ONE = 49;

/**
 * Renews permits that are still there, never shortens one, and never makes one anew. With a ttl of 0 it only
 * looks. Its first write is PEXPIRE, which a server at `maxmemory` allows, and then the rest.
 *
 * KEYS per permit: lock, queue, holders, leases. ARGV per permit: id, ttl.
 * Answers a string with a digit per permit, 1 for each that is there.
 */
const RENEW_PERMITS = script(/* lua */ `
${TIME}${READ}
local call = redis.call

local function renew(lock, holders, leases, id, ttl)
  local ours, held = pcall(read, get(lock))
  if not ours or held.kind ~= 'several' then return '0' end
  local ends = tonumber(call('ZSCORE', leases, id) or 0)
  local state = string.match(call('HGET', holders, id) or '', '^%d+ %d+ (%l+)')
  if state ~= 'held' or ends <= now then return '0' end
  if ttl == 0 or now + ttl <= ends then return '1' end
  touch(lock, ttl + ${OUTLIVES})
  touch(holders, ttl + ${OUTLIVES})
  touch(leases, ttl + ${OUTLIVES})
  call('ZADD', leases, now + ttl, id)
  if now + ttl > held.ends then
    local words = { now + ttl, held.last, held.limit, held.used }
    call('SET', lock, string.format('${FORMAT} several %.0f %.0f %.0f %.0f', unpack(words)), 'KEEPTTL')
  end
  return '1'
end

local replies = {}
for i = 1, #ARGV / 2 do
  local k = ${KEYS_EACH} * (i - 1)
  replies[i] = renew(KEYS[k + 1], KEYS[k + 3], KEYS[k + 4], ARGV[2 * i - 1], tonumber(ARGV[2 * i]))
end
return table.concat(replies)
`);

/** Answers `undefined` for a permit that is gone. */
export const PERMIT_RENEWALS: ManyCall<RenewRequest, RenewReply | undefined> = {
  phase: 'renew',
  script: RENEW_PERMITS,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: (all, words) => {
    for (const { id, ttl } of all) words.push(toWord(id), String(ttl));
  },
  read: (answer, index) => (toText(answer).charCodeAt(index) === ONE ? 'renewed' : undefined),
};
