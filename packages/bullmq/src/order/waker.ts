import type { OrderJob, OrderQueue } from '../types.ts';

/** Changes when BullMQ starts jobs that are deferred. */
export class Waker {
  constructor(private readonly queue: OrderQueue) {}

  /** Has jobs started now. Never rejects. */
  async wake(jobs: readonly string[]): Promise<void> {
    await this.each(jobs, (job) => job.promote());
  }

  /** Has jobs started in so many ms, unless somebody wakes them. Never rejects. */
  async delay(jobs: readonly string[], delay: number): Promise<void> {
    await this.each(jobs, (job) => job.changeDelay(delay));
  }

  private async each(
    jobs: readonly string[],
    change: (job: OrderJob) => Promise<void>,
  ): Promise<void> {
    const changeOne = async (id: string): Promise<void> => {
      try {
        const job = await this.queue.getJob(id);
        if (job !== undefined) await change(job);
      } catch {
        // It is started already, or removed. If Redis is away, its own delay wakes it.
      }
    };
    await Promise.all(jobs.map((id) => changeOne(id)));
  }
}
