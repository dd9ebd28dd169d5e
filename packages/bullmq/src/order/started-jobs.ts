import type { Job } from 'bullmq';
import { checkKey } from '../options.ts';
import type { Line } from './line.ts';
import { namesOf, ticketOf } from './ticket.ts';

/** The most job names to tell apart, and the most jobs to remember. */
const MOST_NAMES = 50;
const MOST_JOBS = 1_000;

/**
 * Jobs that BullMQ has started, whose runs have not asked for their places yet: their workers are slow, or
 * dead. Whoever was started after them asks for their keys and tells their places, so that jobs are in the
 * order in which they were started, whatever becomes of their processes.
 */
export class StartedJobs {
  /** Jobs that nobody need wait for: without keys, or they could not be found out. */
  readonly unknown = new Set<string>();
  private readonly known = new Set<string>();

  constructor(private readonly line: Line) {}

  /** The names of jobs that come here: others may be unguarded. None means all. */
  get names(): readonly string[] {
    return this.known.size < MOST_NAMES ? [...this.known] : [];
  }

  know(name: string): void {
    if (this.known.size < MOST_NAMES) this.known.add(name);
  }

  /** One after the other: their order counts. */
  async announce(jobs: readonly string[], safety: number): Promise<void> {
    for (const id of jobs) if (!(await this.announceOne(id, safety))) this.giveUp(id);
  }

  private async announceOne(id: string, safety: number): Promise<boolean> {
    const { settings, order, scripts, keeper } = this.line;
    try {
      const job = (await order.queue.getJob(id)) as Job | undefined;
      if (job === undefined) return false;
      const { key } = settings;
      const names = namesOf(checkKey(typeof key === 'function' ? await key(job) : key));
      // Nobody waits for a job without keys.
      if (names.length === 0) return false;
      const ticket = ticketOf(settings, job, names, '');
      keeper.waits(ticket, safety);
      const turn = await scripts.join(ticket, this);
      return turn.kind !== 'unknown';
    } catch {
      return false;
    }
  }

  private giveUp(id: string): void {
    if (this.unknown.size >= MOST_JOBS) this.unknown.clear();
    this.unknown.add(id);
  }
}
