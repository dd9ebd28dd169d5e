import { machineNow } from '../events.ts';
import type { Tools } from './topology.ts';

/** Tells of failovers that nobody planned: a very busy machine makes servers believe that one is gone. */
export class FailoverWatch {
  private lookedAt = machineNow();

  private constructor(
    /** How often the servers have failed over, by a number of theirs that grows with it. */
    private readonly count: () => Promise<number>,
    private known: number,
    private readonly tell: Tools['tell'],
  ) {}

  static async start(count: () => Promise<number>, tell: Tools['tell']): Promise<FailoverWatch> {
    return new FailoverWatch(count, await count(), tell);
  }

  /** Tells of one since the last look. */
  async look(): Promise<void> {
    const now = await this.count();
    const since = { from: this.lookedAt, at: machineNow() };
    if (now !== this.known) {
      this.tell({ what: 'forgot', why: 'a failover that nobody planned', ...since });
    }
    this.lookedNow(now);
  }

  /** What changes the number meanwhile is planned. */
  async planned(act: () => Promise<void>): Promise<void> {
    await this.look();
    await act();
    this.lookedNow(await this.count());
  }

  private lookedNow(count: number): void {
    this.known = count;
    this.lookedAt = machineNow();
  }
}
