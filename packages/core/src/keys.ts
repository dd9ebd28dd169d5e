import { createHash } from 'node:crypto';

/** Characters that stand for themselves in a stored key; `%`, `~`, space, quotes and braces do not. */
const PLAIN = /^[\w.:/@+=,;#-]*$/;
const PLAIN_NAMESPACE = /^[\w./@+=,;#-]*$/;

/** Longer encodings are hashed, so that a stored key suits every server (memcached: 250 bytes). */
const LONGEST = 200;
const KEPT_PREFIX = 100;

/** WTF-8, so that lone surrogates have an encoding of their own. */
function bytesOf(codePoint: number): readonly number[] {
  if (codePoint < 0x80) return [codePoint];
  const tail = (shift: number): number => 0x80 | ((codePoint >> shift) & 0x3f);
  if (codePoint < 0x800) return [0xc0 | (codePoint >> 6), tail(0)];
  if (codePoint < 0x10000) return [0xe0 | (codePoint >> 12), tail(6), tail(0)];
  return [0xf0 | (codePoint >> 18), tail(12), tail(6), tail(0)];
}

function escape(text: string, plain: RegExp): string {
  if (plain.test(text)) return text;
  let encoded = '';
  for (const character of text) {
    encoded += plain.test(character)
      ? character
      : bytesOf(character.codePointAt(0) as number)
          .map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`)
          .join('');
  }
  return encoded;
}

/**
 * The key under which a store knows a lock: printable ASCII, at most 200 characters, different for
 * different pairs. The namespace's own colons are escaped, so that `a` + `b:c` and `a:b` + `c` differ;
 * a hashed encoding holds a `~`, which no other does.
 *
 * @example
 * ```ts
 * storedKey('holdfast', 'invoice:42'); // 'holdfast:invoice:42'
 * ```
 */
export function storedKey(namespace: string, key: string): string {
  const encoded = `${escape(namespace, PLAIN_NAMESPACE)}:${escape(key, PLAIN)}`;
  if (encoded.length <= LONGEST) return encoded;
  const digest = createHash('sha256').update(encoded).digest('hex');
  return `${encoded.slice(0, KEPT_PREFIX)}~${digest}`;
}
