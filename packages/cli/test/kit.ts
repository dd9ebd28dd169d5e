import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject, onTestFinished } from 'vitest';

/** Node, and the program from its sources. */
export const commandOf = (args: readonly string[]): string[] => [
  process.execPath,
  inject('program'),
  ...args,
];

export const program = (name: string): string =>
  fileURLToPath(new URL(`programs/${name}`, import.meta.url));

/** A folder of this test's own. */
export function folder(parent = tmpdir()): string {
  const path = realpathSync(mkdtempSync(join(parent, 'holdfast-cli-')));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface Options {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** What the program and its arguments are run by. */
  readonly through?: (command: readonly string[]) => readonly string[];
}

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `holdfast` that runs. */
export class Holdfast {
  stdout = '';
  stderr = '';
  readonly result: Promise<Result>;

  private constructor(readonly process: ChildProcess) {
    process.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    process.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.result = once(process, 'close').then(([code, signal]) => {
      return { code, signal, stdout: this.stdout, stderr: this.stderr };
    });
    onTestFinished(() => void process.kill('SIGKILL'));
  }

  static start(args: readonly string[], { env = {}, cwd, through }: Options = {}): Holdfast {
    const command = commandOf(args);
    const [file = '', ...words] = through?.(command) ?? command;
    return new Holdfast(
      spawn(file, words, {
        cwd: cwd ?? folder(),
        env: { ...process.env, REDIS_URL: '', NO_COLOR: '1', ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
  }

  /** Until its output has something. */
  async says(text: string | RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    const said = (): boolean =>
      typeof text === 'string' ? this[where].includes(text) : text.test(this[where]);
    while (!said()) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        if (said()) return;
        throw new Error(`It ended without saying ${String(text)}: ${this.stdout}${this.stderr}`);
      }
      await Promise.race([once(this.process[where] as NodeJS.ReadableStream, 'data'), this.result]);
    }
  }
}

/** Runs it to its end. */
export function holdfast(args: readonly string[], options?: Options): Promise<Result> {
  return Holdfast.start(args, options).result;
}
