import { LockArgumentError, type EncodeKeyRequest } from '@holdfast/core';

/** What an item says of who holds its lock. */
export interface Holding {
  /** Of the acquisition; absent where items do not tell. */
  readonly id: string | undefined;
  readonly owner: string;
  readonly label: string;
  /** The first fencing token, where it does not follow from the item's version: after a renewal. */
  readonly token?: number | undefined;
  /** The id of the grant that this one has replaced. */
  readonly over?: string | undefined;
  /** Released, but busy for everybody until it runs out. */
  readonly kept?: boolean | undefined;
  /** The item is not a lock at all. */
  readonly foreign?: boolean | undefined;
}

/** How items are written. An empty one is a released lock in every format. */
export interface Format {
  /** Whether items do not tell which acquisition holds. */
  readonly nameless: boolean;
  encode(holding: Holding): string;
  /** @returns `undefined` for a lock that nobody holds */
  decode(value: string): Holding | undefined;
  readonly encodeKey?: (request: EncodeKeyRequest) => string;
}

/** An item that nobody holds. */
export const FREE = '';

/** Our own: JSON, so that an operator can read it. */
export const jsonFormat: Format = {
  nameless: false,

  encode: ({ id, owner, label, token, over, kept }) =>
    JSON.stringify({ id, owner: owner === id ? undefined : owner, label, token, over, kept }),

  decode(value) {
    if (value === FREE) return undefined;
    const { id, label, owner = id, token, over, kept } = parse(value);
    if (typeof id !== 'string' || typeof label !== 'string' || typeof owner !== 'string') {
      return FOREIGN;
    }
    return { id, label, owner, token, over, kept };
  },
};

const FOREIGN: Holding = { id: '', owner: '', label: '', foreign: true };

function parse(value: string): Partial<Holding> {
  try {
    return (JSON.parse(value) ?? {}) as Partial<Holding>;
  } catch {
    return {};
  }
}

const MEMLOCK_PREFIX = 'memlock:';
const MEMLOCK_LONGEST = 250;
const ODD = /[\s\p{Cc}]/u;

/** What the Go side takes for an owner that never comes back. */
const KEPT_PREFIX = 'holdfast-kept:';

/** As `memlock` of LUCI has it: the owner and nothing else. */
export const memlockFormat: Format = {
  nameless: true,

  encode: ({ owner, kept }) => (kept === true ? KEPT_PREFIX + owner : owner),

  decode(value) {
    if (value === FREE) return undefined;
    const kept = value.startsWith(KEPT_PREFIX);
    const owner = kept ? value.slice(KEPT_PREFIX.length) : value;
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
