import type { Job } from 'bullmq';
import type { Settings } from '../options.ts';
import type { OrderQueue } from '../types.ts';
import type { OrderClient } from './client.ts';
import type { PlaceRefresher } from './place-refresher.ts';
import { namesOfOther, registrationOf, type Registration } from './registration.ts';
import { parkWaiting, peek } from './scripts/waiting.ts';
import { inTime } from './in-time.ts';

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

/** ms without any progress after which nobody waits for a look any more: Redis may be away. */
const LONGEST = 5_000;

/**
 * Parks the jobs of a burst before they are started, so that a job of another key behind thousands of them
 * need not wait until each of them was started in vain.
 */
export class LookAhead {
  /** The jobs that were looked at, and left where they were. */
  private readonly known = new Map<string, Registration | null>();
  private inVain = 0;
  private looking: Promise<void> | undefined;
  /** How often jobs were parked, or found to stay. */
  private steps = 0;

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
    const { looking } = this;
    for (let steps = -1; steps !== this.steps;) {
      steps = this.steps;
      if (await inTime(looking, LONGEST)) break;
    }
    return true;
  }

  private async look(): Promise<void> {
    const done = new Set<string>();
    const staying = new Set<string>();
    for (let count = FIRST; done.size < FARTHEST; count = Math.min(count * 2, MOST)) {
      const { more, ids } = await peek(this.client, done.size + count);
      const fresh = ids.filter((id) => !done.has(id));
      const { jobs, complete } = await this.registrationsOf(fresh);
      const { parked, stayed } = await this.parkAll(jobs, staying);
      this.steps += 1;
      for (const { id, keys } of jobs) {
        if (stayed.has(id)) for (const key of keys) staying.add(key);
        else this.known.delete(id);
      }
      for (const id of fresh) if (!parked.has(id)) done.add(id);
      if (!more || !complete || parked.size < count * WORTH) return;
    }
  }

  private async parkAll(
    jobs: readonly Registration[],
    staying: ReadonlySet<string>,
  ): ReturnType<typeof parkWaiting> {
    if (jobs.length === 0) return { parked: new Set(), stayed: new Set() };
    const { maxDeferral } = this.settings;
    const deadline = maxDeferral === Infinity ? undefined : maxDeferral;
    const keys = new Set(jobs.flatMap((job) => job.keys));
    const before = [...keys].filter((key) => staying.has(key));
    return parkWaiting(this.client, { jobs, staying: before, deadline });
  }

  /** Up to the first whose keys cannot be found out, which may not be passed. */
  private async registrationsOf(
    ids: readonly string[],
  ): Promise<{ jobs: Registration[]; complete: boolean }> {
    const found = await Promise.all(ids.map((id) => this.registrationOf(id)));
    const end = found.indexOf(undefined);
    const sure = end < 0 ? found : found.slice(0, end);
    return { jobs: sure.flatMap((one) => one ?? []), complete: end < 0 };
  }

  /** `null` for a job that is gone, or needs no key. Its key is asked for once. */
  private async registrationOf(id: string): Promise<Registration | null | undefined> {
    const known = this.known.get(id);
    if (known !== undefined) return known;
    try {
      const job = (await this.queue.getJob(id)) as Job | undefined;
      if (job === undefined) return null;
      const names = await namesOfOther(this.settings, job);
      if (names === undefined) return undefined;
      const registration = registrationOf(this.settings, job, names, '');
      this.refresher.waits(names, registration.safety);
      return this.remember(registration);
    } catch {
      return undefined;
    }
  }

  private remember(registration: Registration): Registration | null {
    const remembered = registration.keys.length === 0 ? null : registration;
    if (this.known.size >= REMEMBERED) this.known.clear();
    this.known.set(registration.id, remembered);
    return remembered;
  }
}
