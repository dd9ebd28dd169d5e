import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';

const IV = 12;
const TAG = 16;

/** What is shown of a key where `redact` does not say: nothing. */
const HIDDEN = '(hidden)';

/** How keys are shown and named to a browser. */
export interface KeyNames {
  readonly shown: (key: string) => string;
  readonly id: (key: string) => string;
  /** `undefined` for an id that was not given by this board. */
  readonly keyOf: (id: string) => string | undefined;
}

/**
 * Without `redact` a key is its own name. With it the browser gets the key encrypted, the same each time,
 * so that the page can tell rows apart and nobody can try out keys.
 */
export function keyNames(
  redact: ((key: string) => string) | undefined,
  secret: string | undefined,
): KeyNames {
  if (redact === undefined) {
    const same = (key: string): string => key;
    return { shown: same, id: same, keyOf: same };
  }
  const own = secret === undefined ? randomBytes(32) : createHash('sha256').update(secret).digest();
  return {
    shown: (key) => shownBy(redact, key),
    id: (key) => seal(key, own),
    keyOf: (id) => open(id, own),
  };
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
