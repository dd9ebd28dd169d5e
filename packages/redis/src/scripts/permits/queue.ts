import { RESERVATION } from '@holdfast/core';
import { QUEUE, READ, TELL, TIME } from '../lua.ts';
import { tagOf, type Refreshed } from '../refresh.ts';
import type { QueuePlace } from '../reserved.ts';
import { script, toNumber, type ManyCall } from '../script.ts';
import { KEYS_EACH, writePermitKeys } from './keys.ts';
import { PERMITS } from './lua.ts';

/**
 * Keeps a client's place in the queue of a lock that several hold, and moves that queue on.
 *
 * KEYS: lock, queue, holders, leases. ARGV: client, label. Answers in how many ms to ask, 0 for now.
 */
const REFRESH_PERMIT = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${PERMITS}
local client, label = unpack(ARGV)
local held = read(call('GET', lock))
-- It is another's by now: asking tells.
if held.kind ~= 'several' then return 0 end
endExpired(held)
if call('HEXISTS', holders, '=' .. client) == 0 then
  tidy(queue)
  register(queue, client, label)
end
settle(held, 1)
local reserved = read(call('GET', lock))
if reserved.kind ~= 'several' then return reserved.client == client and 0 or ${RESERVATION} end
-- It has its turn, or is to hear that others hold the lock with another limit.
if call('HEXISTS', holders, '=' .. client) == 1 or not call('ZSCORE', queue, client) then return 0 end
return nextEnd() + (first(queue) == client and 0 or ${RESERVATION})
`);

/**
 * Takes a client out of the queue of a lock that several hold, and gives its room to the next.
 *
 * KEYS: lock, queue, holders, leases. ARGV: client.
 */
const LEAVE_PERMIT = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${PERMITS}
leave(queue, ARGV[1])
local held = read(call('GET', lock))
if held.kind ~= 'several' then return 0 end
endExpired(held)
drop(held, '=' .. ARGV[1])
settle(held, 1)
return 1
`);

export const PERMIT_REFRESHES: ManyCall<Refreshed, number> = {
  phase: 'acquire',
  script: REFRESH_PERMIT,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: ([place], words) => {
    const { member } = place as Refreshed;
    words.push(member, tagOf(place as Refreshed));
  },
  read: (hint) => toNumber(hint),
};

export const PERMIT_LEAVES: ManyCall<QueuePlace, void> = {
  phase: 'release',
  script: LEAVE_PERMIT,
  most: 1,
  keysEach: KEYS_EACH,
  keyOf: ({ key }) => key,
  writeKeys: writePermitKeys,
  writeArgs: ([registration], words) => {
    words.push(registration?.member ?? '-');
  },
  read: () => {},
};
