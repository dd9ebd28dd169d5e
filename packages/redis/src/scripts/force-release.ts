import { lockKey, queueKey } from '../redis-keys.ts';
import { END_EARLY, QUEUE, READ, TELL, TIME } from './lua.ts';
import { script, toNumber, type ManyCall } from './script.ts';

/**
 * Ends the grant of a lock, whoever holds it, tells its holder and serves the next in line; ends a
 * reservation too. Its first write is PEXPIRE, which a server at `maxmemory` allows, and then the rest.
 *
 * KEYS: lock, queue. Answers 1 if it was held or reserved.
 */
const FORCE_RELEASE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local lock, queue = unpack(KEYS)
local value = redis.call('GET', lock)
local held = read(value)
if not value or string.find(value, '^%d+$') then return 0 end
touch(lock, 1)
if held.kind == 'held' or held.kind == 'kept' then endEarly(lock, queue, held, 'forced') end
serve(lock, queue, held.last)
return held.kind == 'free' and 0 or 1
`);

/** Whether there was something to end. */
export const FORCED_RELEASES: ManyCall<string, boolean> = {
  phase: 'force-release',
  script: FORCE_RELEASE,
  most: 1,
  keysEach: 2,
  keyOf: (key) => key,
  writeKeys: (key, words) => {
    words.push(lockKey(key), queueKey(key));
  },
  writeArgs: () => {},
  read: (answer) => toNumber(answer) === 1,
};
