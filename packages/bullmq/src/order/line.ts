import { LockArgumentError, LockNotAcquiredError, type Key, type Locker } from '@holdfast/core';
import type { Job } from 'bullmq';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { delayOf, SHORTEST } from '../deferral.ts';
import type { Settings } from '../options.ts';
import type { OrderOptions } from '../types.ts';
import { Keeper } from './keeper.ts';
import { LineScripts, type Turn } from './line-scripts.ts';
import { StartedJobs } from './started-jobs.ts';
import { namesOf, ticketOf, type Ticket } from './ticket.ts';
import { Waker } from './waker.ts';

const ELSEWHERE =
  'guard: `order.redis` does not find this job. It must be a client of the Redis, and of the database, ' +
  'that the queue is in, and `order.queue` the queue that the worker works on.';

/** The longest pause between two questions whether it is a run's turn. */
const LONGEST_PAUSE = 25;

/** However long a line is, the last in it looks for itself every so often. */
const LONGEST_DELAY = 600_000;

/** ms after which a job that is late to ask for its place is late for other reasons. */
const LONGEST_DOUBT = 2_000;

/** The lines of jobs that wait for keys, of one queue. */
export class Line {
  readonly scripts: LineScripts;
  readonly keeper: Keeper;
  readonly waker: Waker;
  readonly started: StartedJobs;

  constructor(
    readonly settings: Settings,
    readonly order: OrderOptions,
  ) {
    this.scripts = new LineScripts(order);
    this.started = new StartedJobs(this);
    this.waker = new Waker(order.queue);
    this.keeper = new Keeper(this.scripts, this.waker);
  }

  get locker(): Locker {
    return this.settings.locker;
  }

  place(job: Job, key: Key | null): Place {
    return new Place(this, job, key);
  }
}

/** One run of a job in the lines of its keys. */
export class Place {
  /** How long the job has been in its lines, in ms, as far as is known. */
  waited = 0;
  private ahead = 0;
  private readonly ticket: Ticket;
  private readonly safety: number;
  private taking: Promise<void> | undefined;
  private readonly key: string | undefined;
  private readonly names: readonly string[];

  constructor(
    private readonly line: Line,
    private readonly job: Job,
    key: Key | null,
  ) {
    this.names = namesOf(key);
    this.key = this.names[0];
    this.ticket = ticketOf(line.settings, job, this.names, randomUUID());
    this.safety = Math.ceil(Math.max(delayOf(line.settings, job, 0), SHORTEST));
  }

  /**
   * Takes a place, and waits for up to `wait` ms for its turn.
   *
   * @returns what is left of `wait`
   * @throws LockNotAcquiredError others are before it
   * @throws LockStoreError, LockArgumentError, and the reason of the signal
   */
  async enter(wait: number, signal: AbortSignal): Promise<number> {
    this.checkQueue();
    const begun = performance.now();
    const elapsed = (): number => performance.now() - begun;
    for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const turn = await this.ask();
      if (turn.kind === 'unknown') return this.unknown(wait);
      this.ahead = turn.ahead;
      this.waited = turn.waited;
      if (turn.kind === 'go' || turn.again) return Math.max(0, wait - elapsed());
      const left = wait - elapsed();
      if (left <= 0) throw new LockNotAcquiredError({ key: this.key, waited: elapsed() });
      await nap(Math.min(pause, left), signal);
    }
  }

  /** How long the job may stay away: the first of a line has to look for itself. */
  get delay(): number {
    const longest = Math.max(LONGEST_DELAY, this.safety);
    return Math.min(this.safety * (this.ahead + 1), longest);
  }

  /** The run has its locks. */
  took(): void {
    const { scripts, keeper, waker } = this.line;
    keeper.runs(this.ticket, this.safety);
    // The work need not wait for that.
    this.taking = scripts.took(this.ticket, this.safety).then(
      (jobs) => void waker.delay(jobs, this.safety),
      () => {},
    );
  }

  /** The run is over, and its locks are released. Wakes whose turn it is. Never rejects. */
  async leave(): Promise<void> {
    const { scripts, keeper, waker } = this.line;
    keeper.ended(this.ticket);
    await this.taking;
    try {
      const { wake, watch } = await scripts.leave(this.ticket, this.safety);
      await waker.wake(wake);
      void waker.delay(watch, this.safety);
    } catch {
      // Whoever is next looks for itself when its delay is over.
    }
  }

  /** The job is deferred, and this run is about to end. */
  parked(delay: number): void {
    this.line.keeper.waits(this.ticket, this.safety);
    // Not before BullMQ is done with this run: the next one may be in this very worker.
    setImmediate(() => {
      this.lookAgain(delay).catch(() => {});
    });
  }

  /** Whoever released the lock a moment ago has not seen this job yet. */
  private async lookAgain(delay: number): Promise<void> {
    const { scripts, waker, locker, order } = this.line;
    // In a sandbox it is another process that defers the job, and has been told to a moment ago.
    if (!('moveToFailed' in this.job)) await untilDelayed(order, this.ticket.id);
    let { wake, unsure } = await scripts.park(this.ticket, Math.ceil(delay));
    for (let pause = SHORTEST; unsure && pause < LONGEST_DOUBT; pause *= 2) {
      await sleep(pause, undefined, { ref: false });
      ({ wake, unsure } = await scripts.park(this.ticket));
    }
    if (wake.length === 0) return;
    const holders = await Promise.all(this.names.map((key) => locker.inspect(key)));
    if (holders.every((holder) => holder === null)) await waker.wake(wake);
  }

  private async ask(): Promise<Exclude<Turn, { kind: 'pending' }>> {
    const { scripts, started } = this.line;
    started.know(this.job.name);
    for (;;) {
      const turn = await scripts.join(this.ticket, started);
      if (turn.kind !== 'pending') return turn;
      await started.announce(turn.jobs, this.safety);
    }
  }

  /** @throws LockArgumentError */
  private checkQueue(): void {
    const name = this.line.order.queue.toKey('');
    if (name !== `${this.job.queueQualifiedName}:`) throw new LockArgumentError(ELSEWHERE);
  }

  private async unknown(wait: number): Promise<number> {
    const found = await this.line.order.queue.getJob(this.ticket.id);
    if (found !== undefined) throw new LockArgumentError(ELSEWHERE);
    // It was removed while it was started: nobody is before it.
    return wait;
  }
}

async function nap(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
  if (signal.aborted) throw signal.reason as Error;
}

async function untilDelayed({ queue }: OrderOptions, id: string): Promise<void> {
  for (let pause = 1; pause < 1_000; pause *= 2) {
    if ((await queue.getJobState(id)) !== 'active') return;
    await sleep(pause);
  }
}
