import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  type Hash,
  type Hmac,
} from 'node:crypto';

const IV = 12;
const TAG = 16;

/** Characters of an id in an address: servers take some 16 kB for that and all headers together. */
const LONGEST_ID = 2_000;

/** So many keys with a short id are known: more than a page shows. */
const MOST_SHORTENED = 1_000;

/** What no key is named by but one with a short id. */
const SHORT_ID = /^~[\w-]{43}$/;

/** What is shown of a key where `redact` does not say: nothing. */
const HIDDEN = '(hidden)';

/** How keys are shown and named to a browser. */
export interface KeyNames {
  readonly shown: (key: string) => string;
  readonly id: (key: string) => string;
  /** `undefined` for an id that was not given by this board, or long ago. */
  readonly keyOf: (id: string) => string | undefined;
}

/**
 * Without `redact` a key is its own name. With it the browser gets the key encrypted, the same each time,
 * so that the page can tell rows apart and nobody can try out keys. A name that is too long for an address, or
 * cannot be in one, is a hash in either case: of those that were shown lately the board knows the keys.
 */
export function keyNames(
  redact: ((key: string) => string) | undefined,
  secret: string | undefined,
): KeyNames {
  const own = secret === undefined ? randomBytes(32) : createHash('sha256').update(secret).digest();
  if (redact === undefined) {
    const same = (key: string): string => key;
    return shortened({ shown: same, id: same, keyOf: same }, (key) =>
      createHash('sha256').update(key, 'utf16le'),
    );
  }
  return shortened(
    {
      shown: (key) => shownBy(redact, key),
      id: (key) => seal(key, own),
      keyOf: (id) => open(id, own),
    },
    (key) => createHmac('sha256', own).update(key, 'utf16le'),
  );
}

/** @param hash of a key */
function shortened(names: KeyNames, hash: (key: string) => Hash | Hmac): KeyNames {
  const known = new Map<string, string>();
  return {
    ...names,
    id: (key) => {
      const id = names.id(key);
      if (fitsInAddress(id)) return id;
      const short = `~${hash(key).digest('base64url')}`;
      known.delete(short);
      known.set(short, key);
      if (known.size > MOST_SHORTENED) known.delete(known.keys().next().value as string);
      return short;
    },
    keyOf: (id) => (SHORT_ID.test(id) ? known.get(id) : names.keyOf(id)),
  };
}

function fitsInAddress(id: string): boolean {
  // Half a surrogate pair cannot be in an address.
  if (id.length > LONGEST_ID || SHORT_ID.test(id) || /\p{Surrogate}/u.test(id)) return false;
  return encodeURIComponent(id).length <= LONGEST_ID;
}

/** A function of the user's that fails must stop neither the page nor the process. */
function shownBy(redact: (key: string) => unknown, key: string): string {
  try {
    const shown = redact(key);
    return typeof shown === 'string' ? shown : HIDDEN;
  } catch {
    return HIDDEN;
  }
}

function seal(key: string, secret: Buffer): string {
  const iv = createHmac('sha256', secret).update(key, 'utf16le').digest().subarray(0, IV);
  const cipher = createCipheriv('aes-256-gcm', secret, iv);
  const sealed = Buffer.concat([cipher.update(Buffer.from(key, 'utf16le')), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url');
}

function open(id: string, secret: Buffer): string | undefined {
  const bytes = Buffer.from(id, 'base64url');
  if (bytes.length < IV + TAG) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, IV));
    decipher.setAuthTag(bytes.subarray(IV, IV + TAG));
    const parts = [decipher.update(bytes.subarray(IV + TAG)), decipher.final()];
    return Buffer.concat(parts).toString('utf16le');
  } catch {
    return undefined;
  }
}
