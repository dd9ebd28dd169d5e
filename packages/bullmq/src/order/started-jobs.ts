import type { Job } from 'bullmq';
import type { Settings } from '../options.ts';
import type { OrderQueue } from '../types.ts';
import type { OrderClient } from './client.ts';
import type { PlaceRefresher } from './place-refresher.ts';
import { namesOfOther, registrationOf, type Registration } from './registration.ts';
import { join, type Turn } from './scripts/join.ts';
import type { Start, StartOrder } from './start-order.ts';

/** The most job names to tell apart. */
const MOST_NAMES = 50;

/** ms, between which waits for others lie. */
const [SHORTEST_PAUSE, LONGEST_PAUSE] = [2, 100];

/** For how long a job waits at least for those that were started before it, in ms. */
const LEAST_PATIENCE = 100;

/**
 * Asks for places, in the order in which BullMQ started the jobs. Most often all that were started before
 * have asked. One that has not is waited for, about as long as keys take here; if it still has not, its
 * worker is slow or dead, and one of those who wait asks for its key and registers it.
 */
export class StartedJobs {
  private readonly known = new Set<string>();
  /** How long the key of a job takes, in ms. */
  private keyTime = 0;

  constructor(
    private readonly settings: Settings,
    private readonly queue: OrderQueue,
    private readonly client: OrderClient,
    private readonly refresher: PlaceRefresher,
    private readonly startOrder: StartOrder,
  ) {}

  /** For how long a job waits for those that were started before it, in ms. */
  get patience(): number {
    return Math.max(LEAST_PATIENCE, this.keyTime * 2);
  }

  /** The names of jobs that come here: others may be unguarded. None means all. */
  private get names(): readonly string[] {
    return this.known.size < MOST_NAMES ? [...this.known] : [];
  }

  tookForKey(ms: number): void {
    this.keyTime += (ms - this.keyTime) / 10;
  }

  async join(
    name: string,
    registration: Registration,
    start: Start,
  ): Promise<Exclude<Turn, { kind: 'pending' | 'claimed' }>> {
    const { client, startOrder } = this;
    if (this.known.size < MOST_NAMES) this.known.add(name);
    let pause = Math.max(SHORTEST_PAUSE, Math.min(this.keyTime, LONGEST_PAUSE));
    for (let waited = 0; ;) {
      const impatient = waited >= this.patience;
      if (start.placed.happened && start.before.length > 0) await start.followed(this.patience);
      const turn = await join(client, registration, { names: this.names, impatient });
      start.place();
      if (turn.kind === 'claimed') {
        for (const id of turn.jobs) await this.register(id);
      } else if (turn.kind === 'pending') {
        await startOrder.placedInTime(turn.jobs, pause);
        waited += pause;
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      } else if (turn.kind !== 'go' || start.before.length === 0) {
        return turn;
      }
    }
  }

  /** Registers a job for a run that has not asked. Whose key cannot be found out is not waited for. */
  private async register(id: string): Promise<void> {
    const { settings, queue, client, refresher } = this;
    const job = (await queue.getJob(id)) as Job | undefined;
    if (job === undefined) return;
    const names = (await namesOfOther(settings, job).catch(() => undefined)) ?? [];
    const registration = registrationOf(settings, job, names, '');
    refresher.waits(names, registration.safety);
    await join(client, registration, { names: this.names, impatient: false });
  }
}
