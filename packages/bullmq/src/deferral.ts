import { DelayedError, RateLimitError, UnrecoverableError, type Job } from 'bullmq';
import { DELAY, type Settings } from './options.ts';

/** ms. A deferral for less would be a busy loop. */
export const SHORTEST = 50;

/** A year, in ms: BullMQ's own times go no further than 2039. */
const LONGEST = 31_536_000_000;

/** How often a job was deferred in this attempt. */
export function deferralsOf({ attemptsStarted, attemptsMade, stalledCounter }: Job): number {
  const starts = (attemptsStarted ?? 1) - (attemptsMade ?? 0) - (stalledCounter ?? 0);
  return Math.max(0, starts - 1);
}

/** The delay that the options give a job at its so many-th deferral. */
export function delayOf({ delay }: Settings, job: Job, deferrals: number): number {
  const given = typeof delay === 'function' ? (delay(job, deferrals) ?? DELAY) : delay;
  return given > 0 ? Math.min(given, LONGEST) : 0;
}

/**
 * The longest that a deferred job stays away when nobody wakes it. One that was deferred often comes
 * back sooner, up to ten times as often, so that those who come later do not always find the key free.
 */
export function patienceOf(settings: Settings, job: Job, deferrals: number): number {
  const longest = delayOf(settings, job, deferrals);
  const aged = Math.max(longest / (1 + deferrals / 4), longest / 10);
  return Math.max(aged, SHORTEST);
}

/** Between half of it and all of it: jobs that were deferred together do not come back together. */
export const jittered = (delay: number): number => delay * (0.5 + Math.random() / 2);

/**
 * Gives the slot of a job back. It is started again when the delay is over, and no attempt is burnt.
 *
 * @returns what the processor must throw then
 * @throws what BullMQ says, as when the job was lost meanwhile; then it is not ours to defer
 */
export async function defer(job: Job, token: string | undefined, delay: number): Promise<Error> {
  await job.moveToDelayed(Date.now() + Math.ceil(Math.min(delay, LONGEST)), token);
  // After a deferral BullMQ below 5.77 starts the next job also in a worker that closes, or is paused, and
  // so on until no job is left; after this error it does not. Then it looks for its lock of this job in
  // vain, which it tells nobody.
  return isEnding(job) ? new RateLimitError() : new DelayedError();
}

/** Whether a job that finds its key taken waits for its turn, and with `order` keeps its place. */
export function isDeferred(onLocked: unknown): onLocked is 'defer' | 'latest' {
  return onLocked === 'defer' || onLocked === 'latest';
}

/** Whether the worker that runs a job is to start no more jobs. */
export function isEnding(job: Job): boolean {
  const { queue } = job as unknown as { queue?: { closing?: unknown; paused?: unknown } };
  return Boolean(queue?.closing) || Boolean(queue?.paused);
}

const RATE_LIMITED = new RateLimitError().message;

/** What a processor throws to end a run that is no failure. */
const NO_FAILURES = new Set(['DelayedError', 'WaitingError', 'WaitingChildrenError']);

/** Whether BullMQ tries a job again that failed with this error. */
export function isTriedAgain(job: Job, error: unknown): boolean {
  const { name, message } = error instanceof Error ? error : { name: '', message: '' };
  if (NO_FAILURES.has(name) || message === RATE_LIMITED) return false;
  if (error instanceof UnrecoverableError || name === 'UnrecoverableError') return false;
  const { discarded } = job as unknown as { discarded?: boolean };
  return discarded !== true && (job.attemptsMade ?? 0) + 1 < (job.opts?.attempts ?? 1);
}

/** The most jobs to remember. */
const MOST = 10_000;

/** Since when jobs have been finding their keys taken. */
export class DeferredSince {
  private readonly known = new Map<string, number>();

  /**
   * How long a job has been deferred in this attempt, in ms: since it was first seen here, or what its
   * deferrals in all processes come to.
   */
  waited(settings: Settings, job: Job): number {
    const deferrals = deferralsOf(job);
    const name = this.nameOf(job);
    const now = performance.now();
    const since = this.known.get(name) ?? now;
    if (!this.known.has(name)) this.remember(name, now);
    let given = 0;
    for (let index = 0; index < deferrals; index++) given += patienceOf(settings, job, index);
    return Math.max(now - since, given * 0.75);
  }

  forget(job: Job): void {
    this.known.delete(this.nameOf(job));
  }

  private remember(name: string, now: number): void {
    // Those that have gone on elsewhere are never forgotten otherwise.
    const oldest = this.known.size < MOST ? undefined : this.known.keys().next().value;
    if (oldest !== undefined) this.known.delete(oldest);
    this.known.set(name, now);
  }

  private nameOf({ queueQualifiedName, id = '', attemptsMade }: Job): string {
    return `${queueQualifiedName}:${id}:${attemptsMade}`;
  }
}
