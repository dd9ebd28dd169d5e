import { fromWord } from '../redis-keys.ts';
import { INBOX } from '../scripts/lua.ts';

/** What is in a message is a few hundred characters long; what is longer is not from us. */
const LONGEST = 4_096;

const WAKE = /^wake (\S+) .*\{([^{}\s]+)\}$/s;
const LOST = /^lost (\S+) \S+ (\S+) .*\{([^{}\s]+)\}$/s;

/** The namespace of a lock's encoded key, in which it holds neither `:` nor `~`. */
export function namespaceOf(key: string): string {
  const end = key.search(/[:~]/);
  return end === -1 ? key : key.slice(0, end);
}

/**
 * The channel of a store for the locks of a namespace. Rights can be given by namespace, and what
 * follows it is random, so nobody guesses it.
 */
export function channelOf(keyPrefix: string, namespace: string, store: string): string {
  return `${INBOX}${keyPrefix}{${namespace}}:${store}`;
}

/** What a message says: that a lock is reserved for a locker, or that a grant is gone. */
export type Message =
  | { readonly type: 'wake'; readonly member: string; readonly key: string }
  | { readonly type: 'lost'; readonly member: string; readonly key: string; readonly id: string };

/** Reads a message, from whomever it is; never throws. What does not parse is none. */
export function readMessage(text: string): Message | undefined {
  if (text.length > LONGEST) return undefined;
  const wake = WAKE.exec(text);
  if (wake !== null) return { type: 'wake', member: wake[1] as string, key: wake[2] as string };
  const lost = LOST.exec(text);
  if (lost === null) return undefined;
  const [, member = '', word = '', key = ''] = lost;
  try {
    return { type: 'lost', member, key, id: fromWord(word) };
  } catch {
    return undefined;
  }
}
