import { Tally } from '../tally.ts';

/** What simulations of the whole stack saw. */
export class StackTally {
  /** What the processes did. */
  readonly deeds = new Tally();
  private readonly counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  /** The largest of all. */
  most(what: string, value: number): void {
    this.counts.set(what, Math.max(this.counts.get(what) ?? 0, Math.round(value)));
  }

  add({ deeds, counts }: StackTally): void {
    this.deeds.add(deeds);
    for (const [what, times] of counts) {
      if (what.startsWith('longest ')) this.most(what, times);
      else this.count(what, times);
    }
  }

  /** For another process. */
  toJSON(): { tally: Record<string, number>; more: Record<string, number> } {
    return { tally: this.deeds.toJSON(), more: Object.fromEntries(this.counts) };
  }

  static from({ tally, more }: ReturnType<StackTally['toJSON']>): StackTally {
    const one = new StackTally();
    one.deeds.add(Tally.from(tally));
    for (const [what, times] of Object.entries(more)) one.counts.set(what, times);
    return one;
  }

  /** Of what was expected, what never happened. */
  missing(expected: readonly string[]): string[] {
    const seen = { ...this.deeds.toJSON(), ...Object.fromEntries(this.counts) };
    return expected.filter((what) => (seen[what] ?? 0) === 0);
  }

  toString(): string {
    const deeds = Object.entries(this.deeds.toJSON()).filter(([, times]) => times > 0);
    return [...deeds, ...this.counts].map(([what, times]) => `${what} ${times}`).join(', ');
  }
}
