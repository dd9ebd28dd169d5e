import { LockArgumentError, type EncodeKeyRequest } from '@holdfast/core';

/** The content of a lock's item. */
export interface LockItem {
  /** The acquisition's id; absent in formats that store only the owner. */
  readonly id: string | undefined;
  readonly owner: string;
  readonly label: string;
  /** The first fencing token, if a renewal has changed the CAS id from which it was computed. */
  readonly token?: number | undefined;
  /** The id of the grant that this one replaced. */
  readonly over?: string | undefined;
  /** Released early: busy for everybody until the item expires. */
  readonly kept?: boolean | undefined;
  /** The item was not written by this version of Holdfast. */
  readonly foreign?: boolean | undefined;
}

/** How a lock's item is written. In every format an empty item is a released lock. */
export interface Format {
  /** Whether an item holds the owner alone, and so does not show which acquisition holds the lock. */
  readonly ownerOnly: boolean;
  encode(holding: LockItem): string;
  /** @returns `undefined` for a lock that nobody holds. Never throws, whatever the item holds. */
  decode(value: string): LockItem | undefined;
  readonly encodeKey?: (request: EncodeKeyRequest) => string;
}

/** An item that nobody holds. */
export const FREE = '';

/** Of the format below. What a later version writes has another, and is refused instead of misread. */
const VERSION = 1;

/** The format of Holdfast: JSON, which an operator can read. */
export const jsonFormat: Format = {
  ownerOnly: false,

  encode: ({ id, owner, label, token, over, kept }) =>
    JSON.stringify({
      v: VERSION,
      id,
      owner: owner === id ? undefined : owner,
      label,
      token,
      over,
      kept,
    }),

  decode(value) {
    if (value === FREE) return undefined;
    const { v, id, label, owner = id, token, over, kept } = parse(value);
    const isOurs =
      v === VERSION &&
      typeof id === 'string' &&
      typeof label === 'string' &&
      typeof owner === 'string' &&
      (token === undefined || Number.isSafeInteger(token)) &&
      (over === undefined || typeof over === 'string') &&
      (kept === undefined || typeof kept === 'boolean');
    return isOurs ? { id, label, owner, token, over, kept } : FOREIGN;
  },
};

const FOREIGN: LockItem = { id: '', owner: '', label: '', foreign: true };

function parse(value: string): Partial<LockItem & { v: number }> {
  try {
    return (JSON.parse(value) ?? {}) as Partial<LockItem & { v: number }>;
  } catch {
    return {};
  }
}

const MEMLOCK_PREFIX = 'memlock:';
const MEMLOCK_LONGEST = 250;
const ODD = /[\s\p{Cc}]/u;

/** The Go side takes an owner with this prefix for one that never comes back. */
const KEPT_PREFIX = 'holdfast-kept:';

/**
 * What the locker puts before an owner that begins so, to tell it from those that it generates. Here all are
 * given, and the Go side has them as they were given.
 */
const MARK = '_';

/** The format of LUCI's `memlock`: the owner and nothing else. */
export const memlockFormat: Format = {
  ownerOnly: true,

  encode({ owner, kept }) {
    const given = owner.startsWith(MARK) ? owner.slice(MARK.length) : owner;
    return kept === true ? KEPT_PREFIX + given : given;
  },

  decode(value) {
    if (value === FREE) return undefined;
    const kept = value.startsWith(KEPT_PREFIX);
    const given = kept ? value.slice(KEPT_PREFIX.length) : value;
    const owner = given.startsWith(MARK) ? MARK + given : given;
    return { id: undefined, owner, label: '', kept };
  },

  encodeKey({ key, owner, acquiring }) {
    if (acquiring === true && owner === undefined) {
      throw new LockArgumentError("With `compat: 'memlock'` an acquisition needs an `owner`.", {
        key,
      });
    }
    if (owner?.startsWith(KEPT_PREFIX) === true || !isWellFormed(owner ?? '')) {
      throw new LockArgumentError("`owner` is not one that `compat: 'memlock'` can store.", {
        key,
      });
    }
    const stored = MEMLOCK_PREFIX + key;
    if (Buffer.byteLength(stored) > MEMLOCK_LONGEST || ODD.test(key) || !isWellFormed(key)) {
      const message =
        "With `compat: 'memlock'` a key is at most 242 bytes, without spaces and control characters.";
      throw new LockArgumentError(message, { key });
    }
    return stored;
  },
};

/** Whether UTF-8 can hold it: a lone surrogate would become another character. */
function isWellFormed(text: string): boolean {
  return Buffer.from(text).toString() === text;
}
