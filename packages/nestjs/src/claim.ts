import type { Hold, Part } from './hold.ts';

/** What comes of asking for a lock: a hold, or what stands for the result because it is busy. */
export type Taken = { readonly hold: Hold } | { readonly value: unknown };

/** Asks for a lock, until `control` is aborted. */
export type Take = (control: AbortController) => Promise<Taken>;

/** What comes of beginning to consume a result. */
export type Begun = { readonly part: Part } | { readonly value: unknown };

/**
 * Where a result that is consumed later has its lock from: the one that was kept for it, for its first
 * consumer and while it lasts; for any other, one that is taken then.
 */
export class Claim {
  constructor(
    readonly take: Take,
    private kept?: Part,
  ) {}

  async begin(control: AbortController): Promise<Begun> {
    const { kept } = this;
    this.kept = undefined;
    if (kept?.begin() === true) return { part: kept };
    void kept?.end();
    const taken = await this.take(control);
    return 'hold' in taken ? { part: taken.hold.begin() } : taken;
  }

  /** Nobody will consume it. */
  drop(): Promise<void> {
    const { kept } = this;
    this.kept = undefined;
    return kept?.end() ?? Promise.resolve();
  }
}
