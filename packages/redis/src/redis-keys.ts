/**
 * The keys of one lock: who holds it with the last fencing token, and who waits for it. The encoded key
 * of a lock holds no braces, so what is between these is the hash tag: both are in one slot.
 */
export const lockKey = (key: string): string => `{${key}}`;
export const queueKey = (key: string): string => `{${key}}:queue`;

/** Writes both, as the KEYS of a script. */
export function writeKeys({ key }: { readonly key: string }, words: string[]): void {
  words.push(`{${key}}`, `{${key}}:queue`);
}

/** But for what the scripts have a use of their own for: `"` and `=` at the start. */
const PLAIN = /^[!#-<>-~][!-~]*$/;

/** Any text as one word, as the scripts need it. */
export function toWord(text: string): string {
  return PLAIN.test(text) ? text : JSON.stringify(text).replaceAll(' ', '\\u0020');
}

export function fromWord(word: string): string {
  return word.startsWith('"') ? (JSON.parse(word) as string) : word;
}
