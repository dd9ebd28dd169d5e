/** ms that a run waits for those that were started before it to ask for their places, at first. */
const PATIENCE = 500;
const LEAST_PATIENCE = 4;

/** The most job names to tell apart, and the most jobs to remember. */
const MOST_NAMES = 50;
const MOST_JOBS = 1_000;

/**
 * Which jobs a run waits for, so that jobs take their places in the order in which BullMQ started them,
 * whatever their processes do meanwhile. A job that never asks for a place is unguarded, or its worker
 * died: nobody waits for it twice, and ever less long for the next.
 */
export class Starters {
  private readonly known = new Set<string>();
  private readonly passed = new Set<string>();
  private patience = PATIENCE;

  /** The names of jobs that come here. */
  know(name: string): void {
    if (this.known.size < MOST_NAMES) this.known.add(name);
  }

  /** Whose jobs to wait for: none here means all. */
  get names(): readonly string[] {
    return this.known.size < MOST_NAMES ? [...this.known] : [];
  }

  /** Jobs that nobody waits for any more. */
  get given(): Iterable<string> {
    return this.passed;
  }

  /** One run that may have to wait. */
  expect(): { readonly limit: number; giveUp(jobs: readonly string[]): void; settle(): void } {
    const limit = this.patience;
    let gaveUp = false;
    return {
      limit,
      giveUp: (jobs) => {
        gaveUp = true;
        if (this.passed.size > MOST_JOBS) this.passed.clear();
        for (const job of jobs) this.passed.add(job);
        this.patience = Math.max(limit / 2, LEAST_PATIENCE);
      },
      settle: () => {
        if (!gaveUp) this.patience = Math.min(this.patience * 2, PATIENCE);
      },
    };
  }
}
