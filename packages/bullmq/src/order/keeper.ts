import type { LineScripts } from './line-scripts.ts';
import type { Ticket } from './ticket.ts';
import type { Waker } from './waker.ts';

/** More lines than this would keep Redis busy for too long at a time. */
const MOST = 500;

/**
 * Looks after the lines that this process has to do with, a few times per safety delay: the first job of
 * a line stays deferred for as long as a job of this process runs, so that it is started when it is woken,
 * or when this process dies; and what is left of jobs that were removed is cleared away.
 */
export class Keeper {
  private readonly running = new Map<string, Ticket>();
  private readonly waiting = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private safety = Infinity;
  private busy = false;

  constructor(
    private readonly scripts: LineScripts,
    private readonly waker: Waker,
  ) {}

  /** A job runs in this process. */
  runs(ticket: Ticket, safety: number): void {
    this.running.set(ticket.run, ticket);
    this.start(safety);
  }

  ended(ticket: Ticket): void {
    this.running.delete(ticket.run);
    this.stop();
  }

  /** A job of this process was deferred. */
  waits(ticket: Ticket, safety: number): void {
    for (const key of ticket.keys) this.waiting.add(key);
    this.start(safety);
  }

  private start(safety: number): void {
    if (this.timer !== undefined && safety >= this.safety) return;
    clearInterval(this.timer);
    this.safety = Math.min(this.safety, safety);
    // It keeps no process alive: what it looks after is safe without it.
    this.timer = setInterval(() => void this.tend(), this.safety / 3).unref();
  }

  private stop(): void {
    if (this.running.size > 0 || this.waiting.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async tend(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      const held = new Set([...this.running.values()].flatMap(({ keys }) => keys));
      const others = [...this.waiting].filter((key) => !held.has(key));
      await this.tendSome([...held], true);
      await this.tendSome(others, false);
    } catch {
      // Redis is away, or its client closed: there is nothing to look after any more from here.
      this.waiting.clear();
    } finally {
      this.busy = false;
      this.stop();
    }
  }

  private async tendSome(keys: readonly string[], held: boolean): Promise<void> {
    for (let from = 0; from < keys.length; from += MOST) {
      const some = keys.slice(from, from + MOST);
      const { watch, waiting } = await this.scripts.tend(some, held, this.safety);
      const still = new Set(waiting);
      for (const key of some) if (!still.has(key)) this.waiting.delete(key);
      await this.waker.delay(watch, this.safety);
    }
  }
}
