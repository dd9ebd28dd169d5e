import { createHash } from 'node:crypto';

/** Characters that stand for themselves in a stored key; `%`, `~`, space, quotes and braces do not. */
const PLAIN = /^[\w.:/@+=,;#-]*$/;
const PLAIN_NAMESPACE = /^[\w./@+=,;#-]*$/;

/** Longer encodings are hashed, so that a stored key suits every server (memcached: 250 bytes). */
const LONGEST = 200;
/** So much of the beginning of what is hashed stays readable, and with it the whole namespace. */
const KEPT_PREFIX = 100;
/** So much does of a namespace that would take up more than that. */
const KEPT_NAMESPACE = 30;

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
 * what is hashed holds a `~`, which nothing else does.
 *
 * @example
 * ```ts
 * storedKey('holdfast', 'invoice:42'); // 'holdfast:invoice:42'
 * ```
 */
export function storedKey(namespace: string, key: string): string {
  return storedKeyOf(startOf(namespace), key);
}

/**
 * What the stored keys of a namespace begin with, all of them and those of no other namespace: at most
 * {@link KEPT_PREFIX} characters, so a long one is hashed. It then holds a `~` before the first colon.
 */
export function startOf(namespace: string): string {
  const encoded = escape(namespace, PLAIN_NAMESPACE);
  if (encoded.length < KEPT_PREFIX) return `${encoded}:`;
  return `${encoded.slice(0, KEPT_NAMESPACE)}~${hashOf(encoded)}:`;
}

function hashOf(encoded: string): string {
  return createHash('sha256').update(encoded).digest('hex');
}

/**
 * As {@link storedKey}.
 *
 * @param start of the namespace, see {@link startOf}
 */
export function storedKeyOf(start: string, key: string): string {
  const encoded = start + (PLAIN.test(key) ? key : escape(key, PLAIN));
  if (encoded.length <= LONGEST) return encoded;
  return `${encoded.slice(0, KEPT_PREFIX)}~${hashOf(encoded)}`;
}

/**
 * For {@link LockStore.list}: what the stored keys of a namespace begin with whose user's keys begin
 * with `prefix`; of a hashed key only that much of its beginning is known.
 */
export function storedPrefix(namespace: string, prefix: string): string {
  // Half a surrogate pair is encoded otherwise than the whole.
  const whole = prefix.replace(/[\ud800-\udbff]$/, '');
  return `${startOf(namespace)}${escape(whole, PLAIN)}`.slice(0, KEPT_PREFIX);
}

/** The beginning of a user's key, if that is all that can be known, and what it was hashed to. */
export interface DecodedKey {
  readonly text: string;
  readonly hash: string | undefined;
}

/** What {@link storedKey} made a stored key from; `undefined` for a key of another namespace. */
export function decodeStoredKey(namespace: string, stored: string): DecodedKey | undefined {
  const start = startOf(namespace);
  if (!stored.startsWith(start)) return undefined;
  const [encoded = '', hash] = stored.slice(start.length).split('~');
  return { text: unescape(encoded), hash };
}

/**
 * The user's key of a stored one, `undefined` for a key of another namespace: what {@link storedKey} was
 * given, or where that was hashed its first characters, `~` and the hash.
 *
 * @example
 * ```ts
 * userKey('holdfast', 'holdfast:invoice:42'); // 'invoice:42'
 * ```
 */
export function userKey(namespace: string, stored: string): string | undefined {
  const key = decodeStoredKey(namespace, stored);
  return key?.hash === undefined ? key?.text : `${key.text}~${key.hash}`;
}

/** The opposite of {@link escape}. What a hash has cut in two is left out. */
function unescape(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  return encoded.replaceAll(/(?:%[0-9A-F]{2})+|%[0-9A-F]?$/g, (escaped) => {
    const bytes = [...escaped.matchAll(/%(..)/g)].map(([, hex]) => Number.parseInt(hex ?? '', 16));
    let text = '';
    for (let at = 0; at < bytes.length;) {
      const first = bytes[at] as number;
      const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
      if (at + length > bytes.length) break;
      let codePoint = length === 1 ? first : first & (0x7f >> length);
      for (const byte of bytes.slice(at + 1, at + length))
        codePoint = (codePoint << 6) | (byte & 0x3f);
      text += String.fromCodePoint(codePoint);
      at += length;
    }
    return text;
  });
}
