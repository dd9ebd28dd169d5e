import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '@holdfast/test-servers/bundle';
import { machineNow, type CallId, type Event } from './events.ts';
import type { Place } from './stores.ts';

/** What a process is to do. */
export interface Job {
  /** Its number. */
  readonly process: number;
  readonly place: Place;
  readonly ttl: number;
  /** Whether several may hold a lock there. */
  readonly several: boolean;
  /** Where the counter is, if tokens can be checked. */
  readonly counterPort?: number | undefined;
  readonly seed: number;
}

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

/** Compiles the program, of which very many processes are started. @returns its folder */
export const compileWorker = (): Promise<string> => bundle(PACKAGE, ['src/worker-main.ts']);

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A process that locks, see `worker-main.ts`. */
export class Worker {
  readonly ready: Promise<void>;
  frozen = false;
  private readonly holding = new Set<CallId>();
  private readonly exited: Promise<unknown>;

  private constructor(
    private readonly child: ChildProcess,
    private readonly job: Job,
    private readonly tell: (event: Event) => void,
  ) {
    this.exited = once(child, 'close');
    this.ready = new Promise((resolve) => {
      createInterface(child.stdout as NodeJS.ReadableStream).on('line', (line) => {
        const event = JSON.parse(line) as Event;
        if (event.what === 'ready') resolve();
        if (event.what === 'granted') this.holding.add(event.call);
        if (event.what === 'ended') this.holding.delete(event.call);
        tell(event);
      });
    });
  }

  /** @param folder where the program is compiled */
  static start(folder: string, job: Job, tell: (event: Event) => void): Worker {
    const args = ['--no-warnings', join(folder, 'worker-main.mjs'), JSON.stringify(job)];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    running.add(child);
    child.once('exit', () => running.delete(child));
    return new Worker(child, job, tell);
  }

  /** Whether it holds a lock, by what it has told. */
  get holds(): boolean {
    return this.holding.size > 0;
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await this.exited;
    this.tell({ what: 'exited', process: this.job.process, how: 'killed', at: machineNow() });
  }

  freeze(): void {
    this.frozen = true;
    this.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.frozen = false;
    this.child.kill('SIGCONT');
  }

  /** Lets it finish what it does, and waits for its end, so many ms. */
  async finish(limit: number): Promise<void> {
    this.child.stdin?.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), limit);
    await this.exited;
    clearTimeout(timer);
    const how = this.child.exitCode === 0 ? 'well' : 'badly';
    this.tell({ what: 'exited', process: this.job.process, how, at: machineNow() });
  }
}
