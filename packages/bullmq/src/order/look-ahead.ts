import type { Job } from 'bullmq';
import { checkKey, type Settings } from '../options.ts';
import type { OrderQueue } from '../types.ts';
import type { OrderClient } from './client.ts';
import type { PlaceRefresher } from './place-refresher.ts';
import { namesOf, registrationOf } from './registration.ts';
import { parkWaiting, peek } from './scripts/waiting.ts';
import { inTime } from './start-order.ts';

/** How many jobs to look at: first, and at most at a time. */
const [FIRST, MOST] = [64, 512];

/** The most jobs to look past. */
const FARTHEST = 4_096;

/** The most jobs to remember. */
const REMEMBERED = 20_000;

/** The share of the jobs that must be parked for a look further ahead. */
const WORTH = 0.2;

/** So many jobs in a row that were started in vain are a burst. */
const BURST = 3;

/** ms after which nobody waits for it any more. */
const LONGEST = 2_000;

/**
 * Parks the jobs of a burst before they are started, so that a job of another key behind thousands of them
 * need not wait until each of them was started in vain.
 */
export class LookAhead {
  /** The jobs that were looked at, and left where they were. */
  private readonly seen = new Set<string>();
  private inVain = 0;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly settings: Settings,
    private readonly queue: OrderQueue,
    private readonly client: OrderClient,
    private readonly refresher: PlaceRefresher,
  ) {}

  /** A job is not behind others. */
  went(): void {
    this.inVain = 0;
  }

  /**
   * A job is behind others, and would be parked. Waits, in its slot, while those that would be started in
   * it are parked.
   *
   * @returns whether anything has happened meanwhile
   */
  async wentBehind(): Promise<boolean> {
    const { onLocked, wait } = this.settings;
    if (onLocked !== 'defer' || wait > 0) return false;
    this.inVain += 1;
    if (this.looking === undefined) {
      if (this.inVain < BURST) return false;
      this.looking = this.look()
        // Then each job is started, and parked by itself.
        .catch(() => {})
        .finally(() => {
          this.looking = undefined;
          this.inVain = 0;
        });
    }
    await inTime(this.looking, LONGEST);
    return true;
  }

  private async look(): Promise<void> {
    let past = 0;
    for (let count = FIRST; ; count = Math.min(count * 2, MOST)) {
      const { more, ids } = await peek(this.client, past + count);
      const fresh = ids.filter((id) => !this.seen.has(id));
      const parked = await this.parkAll(fresh);
      past = Math.min(ids.length - parked, FARTHEST);
      if (!more || past === FARTHEST || parked < count * WORTH) return;
    }
  }

  private async parkAll(ids: readonly string[]): Promise<number> {
    const found = await Promise.all(ids.map((id) => this.registrationOf(id)));
    const jobs = found.flatMap((registration) => registration ?? []);
    for (const id of ids) this.remember(id);
    if (jobs.length === 0) return 0;
    const { maxDeferral } = this.settings;
    const deadline = maxDeferral === Infinity ? undefined : maxDeferral;
    return parkWaiting(this.client, jobs, deadline);
  }

  /** Absent for a job without keys, or whose keys cannot be found out: its start tells. */
  private async registrationOf(id: string) {
    try {
      const job = (await this.queue.getJob(id)) as Job | undefined;
      if (job === undefined) return undefined;
      const { key, maxKeys } = this.settings;
      const answer = typeof key === 'function' ? await key(job) : key;
      const names = namesOf(checkKey(answer, maxKeys));
      if (names.length === 0) return undefined;
      const registration = registrationOf(this.settings, job, names, '');
      this.refresher.waits(names, registration.safety);
      return registration;
    } catch {
      return undefined;
    }
  }

  private remember(id: string): void {
    if (this.seen.size >= REMEMBERED) this.seen.clear();
    this.seen.add(id);
  }
}
