import { seededRandom } from '@holdfast/testing';

/** What has broken a parser before. */
const NASTY = [
  '',
  ' ',
  '"',
  '{',
  '}',
  '{}',
  '=',
  '-',
  '\0',
  '\r\n',
  '\u2028',
  '\ud800',
  '\uffff',
  'null',
  'NaN',
  '-1',
  '0',
  '1e999',
  '9'.repeat(16),
  '9'.repeat(400),
  '__proto__',
  'constructor',
  '<script>',
  '%00',
  '%',
  '../',
  "'); DROP TABLE locks; --",
  '\u0000\u0001\u0002',
  'é'.repeat(50),
  '{'.repeat(200),
  '"\\u00',
  '[object Object]',
];

/** Everything that a run does at random comes from one seed. */
export class Random {
  private readonly next: () => number;

  constructor(seed: number) {
    this.next = seededRandom(seed);
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  bytes(most: number): Buffer {
    return Buffer.from(Array.from({ length: this.below(most + 1) }, () => this.below(256)));
  }

  text(): string {
    if (this.chance(0.5)) return this.pick(NASTY);
    const unit = this.pick(['a', '0', ' ', '{', '"', '\\', 'ü', '\ud800', '\n']);
    return unit.repeat(this.chance(0.03) ? this.below(70_000) : this.below(40));
  }

  /** One of many: what sends megabytes is busy with that itself. */
  word(): string {
    return this.text().slice(0, 200);
  }

  /** A text that was good, with a few things wrong. */
  mutate(text: string): string {
    let result = text;
    for (let left = this.below(4); left > 0; left--) {
      const at = this.below(result.length + 1);
      const to = Math.min(at + this.below(8), result.length);
      const words = result.split(' ');
      result = this.pick([
        () => result.slice(0, at) + this.text() + result.slice(at),
        () => result.slice(0, at) + result.slice(to),
        () => result.slice(0, at) + result.slice(at, to).repeat(2) + result.slice(to),
        () => result.slice(0, at),
        () => words.map((word) => (this.chance(0.2) ? this.text() : word)).join(' '),
        () => words.toReversed().join(' '),
        () => result.replace(/\d+/, (digits) => this.pick([`${digits}9`, '-1', '0', '1e9', ''])),
      ])();
    }
    return result;
  }

  /** Any text, as a part of a URL; half a character is none. */
  urlPart(): string {
    return encodeURIComponent(Buffer.from(this.text().slice(0, 500)).toString());
  }

  /** Any value that JSON can hold. */
  json(depth = 0): unknown {
    const leaves = [null, true, false, 0, -1, 1.5, 1e300, '', this.text(), this.text()];
    if (depth > 2 || this.chance(0.6)) return this.pick(leaves);
    const size = this.below(4);
    if (this.chance(0.5)) return Array.from({ length: size }, () => this.json(depth + 1));
    const entries = Array.from(
      { length: size },
      () => [this.text(), this.json(depth + 1)] as const,
    );
    return Object.fromEntries(entries);
  }
}
