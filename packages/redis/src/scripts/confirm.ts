import { lockKey, toWord } from '../redis-keys.ts';
import { FORMAT, GET } from './lua.ts';
import { script, toNumber, type ManyCall } from './script.ts';

/**
 * Writes the expiry of a grant's key anew, as it is: a write for which this connection can wait, and
 * which no replica has without the grant itself.
 *
 * KEYS: lock. ARGV: id. Answers 1 if the grant is there.
 */
const CONFIRM = script(/* lua */ `
${GET}
if string.match(get(KEYS[1]) or '', '^${FORMAT} held %d+ %d+ %d+ %d+ %S+ (%S+) ') ~= ARGV[1] then return 0 end
local left = redis.call('PTTL', KEYS[1])
return left > 0 and redis.call('PEXPIRE', KEYS[1], left) or 0
`);

/** Whether a grant is there, by a write. */
export const CONFIRMATIONS: ManyCall<{ readonly key: string; readonly id: string }, boolean> = {
  phase: 'acquire',
  script: CONFIRM,
  most: 1,
  keysEach: 1,
  keyOf: ({ key }) => key,
  writeKeys: ({ key }, words) => {
    words.push(lockKey(key));
  },
  writeArgs: ([grant], words) => {
    words.push(toWord(grant?.id ?? ''));
  },
  read: (answer) => toNumber(answer) === 1,
};
