import { LockArgumentError, LockNotAcquiredError, type Key } from '@holdfast/core';
import type { Job } from 'bullmq';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeferred, SHORTEST } from '../deferral.ts';
import type { OrderQueue } from '../types.ts';
import { inTime } from './in-time.ts';
import type { Line } from './line.ts';
import { namesOf, newRun, registrationOf, safetyOf, type Registration } from './registration.ts';
import { join } from './scripts/join.ts';
import { leave } from './scripts/leave.ts';
import { park } from './scripts/park.ts';
import { settle } from './scripts/refresh.ts';
import type { Start } from './start-order.ts';

const ELSEWHERE =
  'guard: `order.redis` does not find this job. Pass a client of the Redis, and of the database, that the ' +
  'queue is in, and as `order.queue` the queue that the worker works on.';

/** The longest pause between two questions whether it is a run's turn, in ms. */
const LONGEST_PAUSE = 25;

/** ms after which what is late is late for other reasons. */
const LONGEST_DOUBT = 2_000;

/** One run of a job in the lines of its keys. */
export class Place {
  /** How long the job has been in its lines, in ms, as far as is known. */
  waited = 0;
  /** Whether a later job with the same keys runs in place of this one. */
  superseded = false;
  private readonly start: Start;
  private readonly begun = performance.now();
  private names: readonly string[] = [];
  /** Absent as long as it has no place. */
  private registration: Registration | undefined;

  constructor(
    private readonly line: Line,
    private readonly job: Job,
  ) {
    this.start = line.startOrder.begin(job.id ?? '');
    if (isMark(job.progress)) job.progress = 0;
  }

  /** For how long the job may be away if nobody looks after it, in ms. */
  get safety(): number {
    return safetyOf(this.line.settings, this.job);
  }

  /** Whether it has a place, which it keeps while it is deferred. */
  get taken(): boolean {
    return this.registration !== undefined;
  }

  /** The job needs no lock: nobody need wait to hear what its keys are. */
  async skip(): Promise<void> {
    const { client, settings } = this.line;
    const registration = registrationOf(settings, this.job, [], newRun());
    this.start.tell([]);
    // If that is not heard of, whoever is started next asks for its key.
    await join(client, registration, { names: [], impatient: false }).catch(() => {});
    this.start.end();
  }

  /**
   * Takes a place, and waits for up to `wait` ms for its turn to ask for its locks. Whether it may keep them
   * is for {@link isNext} to say.
   *
   * @returns what is left of `wait`
   * @throws LockNotAcquiredError others are before it, or `superseded`
   * @throws LockStoreError, LockArgumentError, and the reason of the signal
   */
  async enter(key: Key, wait: number, signal: AbortSignal): Promise<number> {
    const { started, lookAhead, settings } = this.line;
    if (signal.aborted) throw signal.reason as Error;
    const registration = this.registration ?? this.register(key);
    const begun = performance.now();
    const elapsed = (): number => performance.now() - begun;
    let looked = false;
    for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const turn = await started.join(this.job.name, registration, this.start);
      if (turn.kind === 'unknown') return this.unknown(wait);
      this.registration = registration;
      this.superseded = turn.kind === 'superseded';
      if (turn.kind === 'superseded') throw this.refusal(elapsed());
      this.waited = turn.waited;
      if (turn.kind === 'go' || turn.again) {
        lookAhead.went();
        if (this.start.after.length > 0) await this.start.cleared();
        return Math.max(0, wait - elapsed());
      }
      this.start.settled.happen();
      // In its slot it would keep the one from it that it waits for.
      const left = turn.behindWaiting && isDeferred(settings.onLocked) ? 0 : wait - elapsed();
      if (left > 0) {
        await nap(Math.min(pause, left), signal);
      } else {
        if (looked || !(await lookAhead.wentBehind())) throw this.refusal(elapsed());
        looked = true;
      }
    }
  }

  /**
   * Whether the run may keep its locks: none that was started before it turned out to have its keys. If it
   * may not, it gives them back, says so with {@link yielded}, and enters once more.
   */
  isNext(): Promise<boolean> {
    return this.start.isNext(this.line.started.patience);
  }

  /** It has given its locks back. */
  yielded(): void {
    this.start.settled.happen();
  }

  /** The run has its locks. */
  took(): void {
    const { taken, refresher } = this.line;
    if (this.registration === undefined) return;
    refresher.runs(this.registration);
    taken.took(this.registration);
  }

  /**
   * The run has failed, and its lines wait until the job is tried again: from before its locks are released, or
   * whoever asks for them then would get them. Never rejects.
   */
  async hold(): Promise<void> {
    const { client, taken } = this.line;
    const { registration } = this;
    if (registration === undefined) return;
    const telling = taken.left(registration);
    // Wakes nobody: the locks are not released.
    const held = Promise.resolve(telling)
      .then(() => leave(client, { ...registration, keys: [] }, true))
      .catch(() => {});
    await inTime(held, LONGEST_DOUBT);
  }

  /**
   * The run is over, and its locks are released: wakes whose turn it is. Never rejects.
   *
   * @param hold whether the job is tried again, and its lines wait for that
   */
  async leave(hold = false): Promise<void> {
    const { client, taken, refresher } = this.line;
    const { registration } = this;
    if (registration === undefined) return;
    refresher.ended(registration);
    if (hold) refresher.waits(this.names, registration.safety);
    const telling = taken.left(registration);
    if (telling !== undefined) await telling;
    // If that fails, whoever is next looks for itself when its safety delay is over.
    await leave(client, registration, hold).catch(() => {});
  }

  /**
   * The run has succeeded: as {@link leave}.
   *
   * @returns what the job must wait for; nothing if nobody waits for its keys
   */
  succeeded(): Promise<void> | undefined {
    const { registration, line } = this;
    const left = this.leave();
    // The slot of the job takes the one that is woken, if that is known before BullMQ asks for the next.
    return registration !== undefined && line.refresher.isAwaited(registration.keys)
      ? left
      : undefined;
  }

  /**
   * The job is deferred, for its safety delay at most, and this run is about to end.
   *
   * @param deadline in how many ms it must start in any case
   * @param latest whether, of jobs with the same keys, only the latest is to wait
   */
  parked(deadline: number | undefined, latest: boolean): void {
    const { registration, line } = this;
    if (registration === undefined) return;
    line.refresher.waits(this.names, registration.safety);
    // Not before BullMQ is done with this run: the next one may be in this very worker.
    setImmediate(() => {
      this.park(registration, deadline, latest).catch(() => {});
    });
  }

  /** It has left the code that asks for places, however. */
  end(): void {
    this.start.end();
  }

  private async park(
    registration: Registration,
    deadline: number | undefined,
    latest: boolean,
  ): Promise<void> {
    const { client, order, refresher } = this.line;
    // In a sandbox it is another process that defers the job, and has been told to a moment ago.
    if (!('moveToFailed' in this.job)) await untilDelayed(order.queue, registration.id);
    const ask = () => park(client, registration, { deadline, latest });
    let answer = await ask();
    for (let pause = SHORTEST; answer === 'wait' && pause < LONGEST_DOUBT; pause *= 2) {
      await sleep(pause, undefined, { ref: false });
      answer = await ask();
    }
    if (answer === 'look' && (await refresher.areFree(this.names))) {
      await settle(client, registration.id, true);
    }
  }

  private register(key: Key): Registration {
    const { started, settings } = this.line;
    this.checkQueue();
    this.names = namesOf(key);
    started.tookForKey(performance.now() - this.begun);
    const registration = registrationOf(settings, this.job, this.names, newRun());
    this.start.tell(registration.keys);
    return registration;
  }

  private refusal(waited: number): LockNotAcquiredError {
    return new LockNotAcquiredError({ key: this.names[0], waited });
  }

  /** @throws LockArgumentError */
  private checkQueue(): void {
    if (this.line.client.base !== `${this.job.queueQualifiedName}:`) {
      throw new LockArgumentError(ELSEWHERE);
    }
  }

  private async unknown(wait: number): Promise<number> {
    const found = await this.line.order.queue.getJob(this.job.id ?? '');
    if (found !== undefined) throw new LockArgumentError(ELSEWHERE);
    // It was removed while it was started: nobody is before it.
    return wait;
  }
}

/** What dashboards were shown while the job was parked is no progress of it. */
function isMark(progress: unknown): boolean {
  return typeof progress === 'object' && progress !== null && 'holdfast' in progress;
}

async function nap(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
  if (signal.aborted) throw signal.reason as Error;
}

async function untilDelayed(queue: OrderQueue, id: string): Promise<void> {
  for (let pause = 1; pause < 1_000; pause *= 2) {
    if ((await queue.getJobState(id)) !== 'active') return;
    await sleep(pause);
  }
}
