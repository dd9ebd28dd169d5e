import { randomFillSync } from 'node:crypto';
import type { Time } from './time.ts';

/** Marks what is generated. Explicit owners that begin so are told apart, see {@link storeOwner}. */
const MARK = '_';
/** V8 keeps strings of that length flat, and every held lock keeps its id. */
const LENGTH = 12;
/** Of which an id is made: 4 characters are 3 bytes. */
const BYTES = 9;
const GENERATED = /^_[A-Za-z0-9-][\w-]{10}$/;
/** Ids per filling of the pool. */
const POOL = 512;

/**
 * Ids of acquisitions, which are also the owners of locks without an explicit one. They cannot be guessed
 * (65 random bits), and consist of letters, digits, `-` and `_`.
 */
export class Ids {
  private readonly bytes = Buffer.alloc(POOL * BYTES);
  private pool = '';
  private used = 0;
  private word: (() => number) | undefined = undefined;

  constructor(private readonly time: Time) {}

  next(): string {
    if (this.used === this.pool.length) this.fill();
    const from = this.used;
    this.used += LENGTH;
    return this.pool.slice(from, this.used);
  }

  private fill(): void {
    const { bytes, time } = this;
    if (time.clock.random === undefined) {
      randomFillSync(bytes);
    } else {
      // An injected source is for tests that must be repeatable: it is asked once.
      const word = (this.word ??= seeded(Math.floor(time.random() * 2 ** 32)));
      for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(word(), at);
    }
    // The first character is the mark (63), and the second is below 32, or else it could be the mark too.
    for (let at = 0; at < bytes.length; at += BYTES) {
      bytes[at] = 0b1111_1100 | ((bytes[at] as number) & 1);
    }
    this.pool = bytes.toString('base64url');
    this.used = 0;
  }
}

/** A 32-bit generator (a Weyl sequence through two multiplications) for repeatable tests. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

/**
 * An explicit owner as the store knows it: never one that was generated, for the second character of
 * those is not the mark.
 */
export function storeOwner(owner: string): string {
  return owner.startsWith(MARK) ? MARK + owner : owner;
}

/** An owner that was shown, as the store may know it: one that looks generated most often was. */
export function knownOwners(owner: string): readonly string[] {
  return GENERATED.test(owner) ? [owner, storeOwner(owner)] : [storeOwner(owner)];
}

/** An owner that the store knows, as its holder gave it. */
export function shownOwner(owner: string): string {
  return owner.startsWith(MARK + MARK) ? owner.slice(1) : owner;
}
