import { LockAbortedError } from '@holdfast/core';
import type { Job } from 'bullmq';

const CANCELLED = 'The job was cancelled.';
const TAKEN =
  'BullMQ has lost its own lock of this job: it counts as stalled, and may have been started again.';

/** One run of a job in this process, and what tells it to stop. */
export class JobRun {
  private readonly controller = new AbortController();

  constructor(
    readonly id: string,
    private readonly cancellation: AbortSignal | undefined,
    private readonly over: (run: JobRun) => void,
  ) {
    if (cancellation?.aborted === true) this.cancelled();
    // By hand: BullMQ below 5.72 hands out signals that `AbortSignal.any` does not know.
    else cancellation?.addEventListener('abort', this.cancelled, { once: true });
  }

  /** Aborts with `LockAbortedError` when the job is cancelled, or BullMQ's lock of it is lost. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  taken(): void {
    this.controller.abort(new LockAbortedError(TAKEN));
  }

  end(): void {
    this.cancellation?.removeEventListener('abort', this.cancelled);
    this.over(this);
  }

  private readonly cancelled = (): void => {
    const cause: unknown = this.cancellation?.reason;
    this.controller.abort(new LockAbortedError(CANCELLED, { cause }));
  };
}

/** The runs of a guard in this process, of whatever worker. */
export class JobRuns {
  private readonly running = new Map<string, Set<JobRun>>();

  begin({ queueQualifiedName, id = '' }: Job, cancellation: AbortSignal | undefined): JobRun {
    const name = `${queueQualifiedName}:${id}`;
    // A run of the same job that is here already has lost its job to this one.
    this.taken(name);
    const run = new JobRun(name, cancellation, (over) => this.forget(over));
    const runs = this.running.get(name) ?? new Set();
    this.running.set(name, runs.add(run));
    return run;
  }

  /** @param name the qualified name of a queue and the id of a job of it */
  taken(name: string): void {
    for (const run of this.running.get(name) ?? []) run.taken();
  }

  private forget(run: JobRun): void {
    const runs = this.running.get(run.id);
    runs?.delete(run);
    if (runs?.size === 0) this.running.delete(run.id);
  }
}
