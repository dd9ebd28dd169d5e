import { toWord, writeKeys } from '../redis-keys.ts';
import { END_EARLY, QUEUE, READ, TELL, TIME } from './lua.ts';
import { script, toNumber, type ManyCall } from './script.ts';

/**
 * Ends the grant of a lock, whoever holds it, tells its holder and serves the next in line; ends a
 * reservation too. Its first write is PEXPIRE, which a server at `maxmemory` allows, and then the rest.
 *
 * KEYS: lock, queue. ARGV: its owner, if only that one's grant is to be ended. Answers 1 if it was held or
 * reserved, 2 if several hold it, who are not touched.
 */
const FORCE_RELEASE = script(/* lua */ `
${TIME}${READ}${TELL}${QUEUE}${END_EARLY}
local lock, queue = unpack(KEYS)
local value = redis.call('GET', lock)
local held = read(value)
if not value or string.find(value, '^%d+$') then return 0 end
if held.kind == 'several' then return 2 end
if ARGV[1] and held.owner ~= ARGV[1] then return 0 end
touch(lock, 1)
if held.kind == 'held' or held.kind == 'kept' then endEarly(lock, queue, held, 'forced') end
serve(lock, queue, held.last)
return held.kind == 'free' and 0 or 1
`);

interface OwnedLock {
  readonly key: string;
  /** Absent for whoever it is. */
  readonly owner?: string | undefined;
}

/** Whether there was something to end; `several` if that is permits, which are left. */
export const FORCED_RELEASES: ManyCall<OwnedLock, boolean | 'several'> = {
  phase: 'force-release',
  script: FORCE_RELEASE,
  most: 1,
  keysEach: 2,
  keyOf: ({ key }) => key,
  writeKeys,
  writeArgs: ([lock], words) => {
    if (lock?.owner !== undefined) words.push(toWord(lock.owner));
  },
  read: (answer) => (toNumber(answer) === 2 ? 'several' : toNumber(answer) === 1),
};
