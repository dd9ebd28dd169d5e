import { rm } from 'node:fs/promises';
import type { Event } from './events.ts';
import type { Random } from './random.ts';
import type { Faults } from './topologies/topology.ts';
import { compileWorker, Worker, type Job } from './worker.ts';

/** How long a process may take to finish when all is well again, in ms. */
const PATIENCE = 150_000;

/** Processes that lock, and what befalls them. */
export class Processes {
  readonly faults: Faults = {
    'a process is killed': () => this.replace(),
    'a process is frozen': () => this.freeze(),
    'two processes are frozen': () => [this.freeze(), this.freeze()],
  };
  private readonly workers: Worker[] = [];
  private readonly random: Random;
  private started = 0;
  private folder = '';

  constructor(
    private readonly job: Omit<Job, 'process'>,
    random: Random,
    private readonly tell: (event: Event) => void,
  ) {
    this.random = random.fork();
  }

  async start(count: number): Promise<void> {
    this.folder = await compileWorker();
    while (this.workers.length < count) this.workers.push(this.another());
    await Promise.all(this.workers.map(({ ready }) => ready));
  }

  /** Lets all end what they do. */
  async finish(): Promise<void> {
    for (const worker of this.workers) if (worker.frozen) worker.thaw();
    await Promise.all(this.workers.map((worker) => worker.finish(PATIENCE)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.kill()));
    await rm(this.folder, { recursive: true, force: true });
  }

  private another(): Worker {
    const process = ++this.started;
    const seed = this.job.seed * 1_000 + process;
    return Worker.start(this.folder, { ...this.job, process, seed }, this.tell);
  }

  private async replace(): Promise<void> {
    const worker = this.pick();
    if (worker === undefined) return;
    const next = this.another();
    await next.ready;
    this.workers[this.workers.indexOf(worker)] = next;
    await worker.kill();
  }

  private freeze(): void {
    const worker = this.pick();
    if (worker === undefined) return;
    worker.freeze();
    // At times for longer than any lease.
    setTimeout(() => worker.thaw(), this.random.between(0.1, 2) * this.job.ttl).unref();
  }

  /** One that is awake, and half of the time one that holds a lock. */
  private pick(): Worker | undefined {
    const awake = this.workers.filter(({ frozen }) => !frozen);
    const holders = awake.filter(({ holds }) => holds);
    const among = holders.length > 0 && this.random.chance(0.5) ? holders : awake;
    return among.length === 0 ? undefined : this.random.pick(among);
  }
}
