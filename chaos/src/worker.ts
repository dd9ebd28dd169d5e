import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Note } from './protocol.ts';

const MAIN = fileURLToPath(new URL('worker-main.ts', import.meta.url));

/** A process that locks, see `worker-main.ts`. */
export class Worker {
  readonly ready: Promise<void>;
  frozen = false;
  /** Whether it holds a lock, by what it said last. */
  holding = false;
  private readonly exited: Promise<unknown>;

  private constructor(
    private readonly child: ChildProcess,
    onNote: (note: Note) => void,
  ) {
    this.exited = once(child, 'close');
    this.ready = new Promise((resolve) => {
      createInterface(child.stdout as NodeJS.ReadableStream).on('line', (line) => {
        const note = JSON.parse(line) as Note;
        if (note.what === 'ready') resolve();
        this.holding = note.what === 'began' || note.what === 'held';
        onNote(note);
      });
    });
  }

  static start(words: readonly (string | number)[], onNote: (note: Note) => void): Worker {
    const tsx = import.meta.resolve('tsx');
    const args = ['--import', tsx, '--conditions=@holdfast/source', MAIN, ...words.map(String)];
    return new Worker(
      spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }),
      onNote,
    );
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  freeze(): void {
    this.frozen = true;
    this.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.frozen = false;
    this.child.kill('SIGCONT');
  }

  /** Lets it finish what it does, and waits for its end. @returns whether it ended well, in time */
  async finish(limit: number): Promise<boolean> {
    this.child.stdin?.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), limit);
    await this.exited;
    clearTimeout(timer);
    return this.child.exitCode === 0;
  }
}
