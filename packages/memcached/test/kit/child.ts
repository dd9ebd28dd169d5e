import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useBundle } from '@holdfast/test-servers/bundle';

/** A process that locks, see `child-main.ts`. */
export class Child {
  private readonly lines: AsyncIterator<string>;
  private last = '';

  constructor(private readonly process: ChildProcess) {
    const { stdout } = process;
    if (stdout === null) throw new Error('The child has no output.');
    this.lines = createInterface(stdout)[Symbol.asyncIterator]();
  }

  /** The next line of its output. */
  async line(): Promise<string> {
    const { value, done } = await this.lines.next();
    if (done === true) throw new Error('The child has ended.');
    this.last = value;
    return value;
  }

  send(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Waits until it has ended by itself. @returns the last line of its output */
  async exit(): Promise<string> {
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done === true) break;
      this.last = value;
    }
    if (this.process.exitCode === null) await once(this.process, 'exit');
    if (this.process.exitCode !== 0)
      throw new Error(`The child ended with ${this.process.exitCode}.`);
    return this.last;
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url));
let compiled: { readonly folder: string };

/** Compiles the program for the tests of a file. */
export function useChildren(): void {
  compiled = useBundle(root, ['test/kit/child-main.ts']);
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a process, and waits until it has connected. */
export async function startChild(address: string, ...work: string[]): Promise<Child> {
  const args = [join(compiled.folder, 'child-main.mjs'), address, ...work];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const started = new Child(child);
  await started.line();
  return started;
}
