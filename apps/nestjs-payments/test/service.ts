import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { inject, onTestFinished } from 'vitest';

/** As it is built, without what it depends on. */
export const BUILT = join(import.meta.dirname, '..', 'dist', 'main.js');

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** In which no report disturbs. */
export const NEVER = { REPORT_CRON: '0 0 0 29 2 *' };

/** The service as anybody runs it, seen from outside. */
export class Service {
  private constructor(
    readonly url: string,
    readonly process: ChildProcess,
    private readonly printed: () => string,
  ) {}

  /** All that it has printed, on both outputs. */
  get output(): string {
    return this.printed();
  }

  static async start(
    env: NodeJS.ProcessEnv = {},
    program: string = inject('program'),
  ): Promise<Service> {
    const given = { ...process.env, REDIS_URL: '', PORT: '0', ...env };
    const child = spawn(process.execPath, [program], {
      env: given,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const url = await new Promise<string>((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        const [, found] = /Payments on (\S+),/.exec(output) ?? [];
        if (found !== undefined) resolve(found);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', () => reject(new Error(`The service ended. Is it built?\n${output}`)));
    });
    const service = new Service(url, child, () => output);
    onTestFinished(() => service.kill());
    return service;
  }

  /** @param signal the client goes away when it aborts */
  async ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', connection: 'close' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ?? null,
    });
    const text = await response.text();
    const { status, headers } = response;
    return { status, headers, body: text === '' ? undefined : JSON.parse(text) };
  }

  /** Stops it where it is, as a virtual machine that is moved. */
  freeze(): void {
    this.process.kill('SIGSTOP');
  }

  thaw(): void {
    this.process.kill('SIGCONT');
  }

  /** Asks it to shut down, and tells how it ended. */
  async stop(): Promise<number | null> {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const [code] = (await ended) as [number | null];
    return code;
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }
}
