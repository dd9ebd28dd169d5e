import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { EXIT } from '../exit-codes.ts';

/** How a command ended. */
export interface Ended {
  /** As a shell would have it: its own, or 128 and the number of the signal that ended it. */
  readonly code: number;
  readonly signal: NodeJS.Signals | null;
  /** It could not be started. */
  readonly error?: Error | undefined;
}

/** There are no process groups on Windows. */
const GROUPS = process.platform !== 'win32';

/**
 * Kills a group when the process that it belongs to has gone without a word: it reads a pipe that only
 * ends when that process does, be it by SIGKILL.
 */
const WATCHMAN = 'read -r group && { read -r line || kill -KILL "-$group"; }';

/** A command in a process group of its own, so that what it starts gets its signals too. */
export class Child {
  readonly ended: Promise<Ended>;

  /** @param child absent if it could not be started at all */
  private constructor(
    private readonly child: ChildProcess | undefined,
    ended: Promise<Ended>,
    watchman: ChildProcess | undefined,
  ) {
    this.ended = ended;
    watchman?.stdin?.write(`${child?.pid ?? ''}\n`);
    void ended.then(() => watchman?.stdin?.end('done\n'));
  }

  static start(command: readonly string[], env: NodeJS.ProcessEnv): Child {
    const [file = '', ...words] = command;
    // Before the command, which must not run unwatched.
    const watchman = GROUPS ? startWatchman() : undefined;
    try {
      const child = spawn(file, words, { stdio: 'inherit', env, detached: GROUPS });
      return new Child(child, endOf(child), watchman);
    } catch (error) {
      // Node tells so of all but the most common reasons, as a path that leads through a file.
      return new Child(undefined, Promise.resolve(notStarted(error as Error)), watchman);
    }
  }

  /** Sends a signal to the command and all that it has started and not set free. */
  signal(name: NodeJS.Signals): void {
    const pid = this.child?.pid;
    if (pid === undefined) return;
    if (!GROUPS) {
      this.child?.kill(name);
      return;
    }
    try {
      process.kill(-pid, name);
    } catch {
      // Nobody is left in the group.
    }
  }
}

function endOf(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      // Also told where a signal cannot be sent: then it runs.
      if (child.pid === undefined) resolve(notStarted(error));
    });
    child.once('exit', (code, signal) => {
      const number = signal === null ? 0 : (constants.signals[signal] ?? 0);
      resolve({ code: code ?? 128 + number, signal });
    });
  });
}

function notStarted(error: NodeJS.ErrnoException): Ended {
  const code = error.code === 'ENOENT' ? EXIT.notFound : EXIT.notExecutable;
  return { code, signal: null, error };
}

function startWatchman(): ChildProcess {
  // In a group of its own: what is sent to ours is not for it.
  const options = { stdio: ['pipe', 'ignore', 'ignore'] as ['pipe', 'ignore', 'ignore'] };
  const watchman = spawn('/bin/sh', ['-c', WATCHMAN], { ...options, detached: true });
  watchman.on('error', () => {});
  watchman.stdin.on('error', () => {});
  watchman.unref();
  return watchman;
}
