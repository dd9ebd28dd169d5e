import type { Locker } from '@holdfast/core';
import type { OrderClient } from './client.ts';
import { lineName, type Registration } from './registration.ts';
import { refresh, settle } from './scripts/refresh.ts';

/** More lines than this would keep Redis busy for too long at a time. */
const MOST = 500;

/**
 * Looks after the lines that this process has to do with, a few times per safety delay. The first job of
 * a line stays parked, without a start, for as long as its keys are taken by whomever; it is started by
 * itself if this process dies. What is left of jobs that were removed is cleared away.
 */
export class PlaceRefresher {
  /** The keys that each run of a job here holds. */
  private readonly running = new Map<string, readonly string[]>();
  /** The keys that jobs wait for, by what their lines call them. */
  private readonly waiting = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  private safety = Infinity;
  private busy = false;

  constructor(
    private readonly client: OrderClient,
    private readonly locker: Locker,
  ) {}

  /** A job runs in this process. */
  runs({ run, keys, safety }: Registration): void {
    this.running.set(run, keys);
    this.start(safety);
  }

  ended({ run }: Registration): void {
    this.running.delete(run);
    this.stop();
  }

  /** A job waits for keys. */
  waits(names: readonly string[], safety: number): void {
    for (const name of names) this.waiting.set(lineName(name), name);
    if (names.length > 0) this.start(safety);
  }

  /** Whether jobs of this process wait for any of these keys, as far as is known. */
  isAwaited(keys: readonly string[]): boolean {
    return keys.some((key) => this.waiting.has(key));
  }

  /** Whether nobody holds any of these keys. */
  async areFree(names: readonly string[]): Promise<boolean> {
    const holders = await Promise.all(names.map((name) => this.locker.inspect(name)));
    return holders.every((holder) => holder === null);
  }

  private start(safety: number): void {
    if (this.timer !== undefined && safety >= this.safety) return;
    clearInterval(this.timer);
    this.safety = Math.min(this.safety, safety);
    // It keeps no process alive: what it looks after is safe without it.
    this.timer = setInterval(() => void this.refresh(), this.safety / 4).unref();
  }

  private stop(): void {
    if (this.running.size > 0 || this.waiting.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.safety = Infinity;
  }

  private async refresh(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      const held = new Set([...this.running.values()].flat());
      await this.refreshSome([...held], true);
      await this.refreshSome(
        [...this.waiting.keys()].filter((key) => !held.has(key)),
        false,
      );
    } catch {
      // Redis or the locks' store is away: jobs start by themselves, and this is tried again.
    } finally {
      this.busy = false;
      this.stop();
    }
  }

  private async refreshSome(keys: readonly string[], held: boolean): Promise<void> {
    for (let from = 0; from < keys.length; from += MOST) {
      const some = keys.slice(from, from + MOST);
      const { waiting, unsure } = await refresh(this.client, some, held);
      const still = new Set(waiting);
      for (const key of some) if (!still.has(key)) this.waiting.delete(key);
      const asked = unsure.map(async (job) => {
        const names = job.keys.flatMap((key) => this.waiting.get(key) ?? []);
        // Of keys that this process has never heard of, only whoever knows them can tell.
        if (names.length < job.keys.length) return;
        await settle(this.client, job.id, await this.areFree(names));
      });
      await Promise.all(asked);
    }
  }
}
