import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { connect, type Client, type ClientName } from './client.ts';
import { Ledger, type Audit } from './ledger.ts';
import type { Transfer } from './transfers.ts';

const WORKER = import.meta.url.endsWith('.ts') ? 'worker.ts' : 'worker.mjs';
const workerFile = fileURLToPath(new URL(WORKER, import.meta.url));

export interface Plan {
  readonly client: ClientName;
  readonly url: string;
  readonly transfers: readonly Transfer[];
  readonly workers: number;
  /** `plain`: BullMQ without a lock. `killed`: guarded, and one worker is killed when a third is posted. */
  readonly way: 'plain' | 'guarded' | 'killed';
  readonly progress: (done: number, killed: boolean) => void;
  /** Ends the run, with what it has written removed. */
  readonly signal: AbortSignal;
}

export interface Result {
  readonly audit: Audit;
  readonly ms: number;
  /** How often a job was started, on average. */
  readonly starts: number;
}

/** Posts all transfers through a queue of its own, and looks at the books. Leaves nothing behind. */
export async function run(plan: Plan): Promise<Result> {
  const { url, transfers, way } = plan;
  const name = `ledger-${process.pid}-${way}`;
  const client = await connect(plan.client, url);
  const queue = new Queue<Transfer>(name, { connection: client.connection });
  const ledger = new Ledger(client, name);
  const children: ChildProcess[] = [];
  try {
    await ledger.open();
    await queue.addBulk(transfers.map((data) => ({ name: 'transfer', data })));
    const args = [plan.client, url, name, way === 'plain' ? 'plain' : 'guarded'];
    for (let n = 0; n < plan.workers; n++) children.push(fork(workerFile, args));
    await Promise.all(children.map((child) => once(child, 'message', { signal: plan.signal })));
    const begun = performance.now();
    for (const child of children) child.send('start');
    await watch(queue, children, plan);
    const ms = performance.now() - begun;
    const [failed] = await queue.getFailed(0, 0);
    if (failed !== undefined) throw new Error(`A transfer failed: ${failed.failedReason}`);
    const jobs = await queue.getJobs(['completed'], 0, -1);
    const started = jobs.reduce((sum, job) => sum + job.attemptsStarted, 0);
    return { audit: await ledger.audit(transfers), ms, starts: started / jobs.length };
  } finally {
    await Promise.all(children.map((child) => end(child, 'SIGKILL')));
    await queue.close();
    await removeAll(client, name);
    client.close();
  }
}

/** Waits until all is posted, and kills a worker meanwhile if that is the plan. */
async function watch(
  queue: Queue<Transfer>,
  children: readonly ChildProcess[],
  { transfers, way, progress, signal }: Plan,
): Promise<void> {
  let killed = false;
  for (;;) {
    signal.throwIfAborted();
    const { completed = 0, failed = 0 } = await queue.getJobCounts('completed', 'failed');
    const [victim] = children;
    if (way === 'killed' && !killed && victim !== undefined && completed >= transfers.length / 3) {
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

/** The queue, the books and the locks: all have the name in their keys. */
async function removeAll(client: Client, name: string): Promise<void> {
  let cursor = '0';
  do {
    const words = ['SCAN', cursor, 'MATCH', `*${name}*`, 'COUNT', 1_000];
    const [next, keys] = (await client.call(...words)) as [string, string[]];
    if (keys.length > 0) await client.call('UNLINK', ...keys);
    cursor = next;
  } while (cursor !== '0');
}
