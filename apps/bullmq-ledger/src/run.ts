import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { Ledger, type Audit } from './ledger.ts';
import type { Transfer } from './transfers.ts';

const workerFile = fileURLToPath(new URL('worker.ts', import.meta.url));

export interface Plan {
  readonly url: string;
  readonly transfers: readonly Transfer[];
  readonly workers: number;
  /** Whether one of them is killed when a third of the transfers are posted. */
  readonly kill: boolean;
  readonly progress: (done: number, killed: boolean) => void;
}

export interface Result {
  readonly audit: Audit;
  readonly ms: number;
  /** How often a job was started, on average. */
  readonly starts: number;
}

/** Posts all transfers through a queue of its own, and looks at the books. */
export async function run(plan: Plan): Promise<Result> {
  const { url, transfers } = plan;
  const name = `ledger-${process.pid}-${plan.kill ? 'killed' : 'plain'}`;
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  const queue = new Queue<Transfer>(name, { connection: redis });
  const ledger = new Ledger(redis, name);
  const children: ChildProcess[] = [];
  try {
    await ledger.open();
    await queue.addBulk(transfers.map((data) => ({ name: 'transfer', data })));
    for (let n = 0; n < plan.workers; n++) children.push(fork(workerFile, [url, name]));
    const begun = performance.now();
    await watch(queue, children, plan);
    const ms = performance.now() - begun;
    const [failed] = await queue.getFailed(0, 0);
    if (failed !== undefined) throw new Error(`A transfer failed: ${failed.failedReason}`);
    const jobs = await queue.getJobs(['completed'], 0, -1);
    const started = jobs.reduce((sum, job) => sum + job.attemptsStarted, 0);
    return { audit: await ledger.audit(transfers), ms, starts: started / jobs.length };
  } finally {
    await Promise.all(children.map((child) => end(child, 'SIGTERM')));
    await queue.obliterate({ force: true });
    await queue.close();
    await ledger.remove();
    redis.disconnect();
  }
}

/** Waits until all is posted, and kills a worker meanwhile if that is the plan. */
async function watch(
  queue: Queue<Transfer>,
  children: readonly ChildProcess[],
  { transfers, kill, progress }: Plan,
): Promise<void> {
  let killed = false;
  for (;;) {
    const { completed = 0, failed = 0 } = await queue.getJobCounts('completed', 'failed');
    const [victim] = children;
    if (kill && !killed && victim !== undefined && completed >= transfers.length / 3) {
      killed = true;
      await end(victim, 'SIGKILL');
    }
    progress(completed, killed);
    if (completed + failed === transfers.length) return;
    if (children.every((child) => child.exitCode !== null)) throw new Error('All workers ended.');
    await sleep(50);
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}
