import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Where Redis is, for all processes. */
export const REDIS_URL = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379';

/** Instances of the service, as processes of their own. */
export class Instances {
  private readonly running = new Set<ChildProcess>();

  private readonly module: string;

  /** @param main the program beside which they are */
  constructor(main: string) {
    const file = main.endsWith('.ts') ? 'instance.ts' : 'instance.mjs';
    this.module = fileURLToPath(new URL(file, main));
  }

  start(...words: string[]): ChildProcess {
    const child = fork(this.module, words, { execArgv: process.execArgv });
    this.running.add(child);
    child.once('exit', () => this.running.delete(child));
    return child;
  }

  /** Kills those that are left. */
  end(): void {
    for (const child of this.running) child.kill('SIGKILL');
  }
}

/** Waits until a process has ended by itself. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs a program: one line for an error, and its exit code says whether all was as it should be. */
export async function program(run: () => Promise<boolean>): Promise<void> {
  try {
    process.exitCode = (await run()) ? 0 : 1;
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
