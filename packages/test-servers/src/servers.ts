import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server that a test started. */
export interface TestServer {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  /** Freezes the process (SIGSTOP). */
  freeze(): void;
  thaw(): void;
  /** Kills the process (SIGKILL) and waits for its end. */
  kill(): Promise<void>;
  /** Starts it again after that: the same port, folder and arguments, and `more` of these. */
  revive(more?: readonly string[]): Promise<void>;
  /** Kills it and removes its files. Safe any number of times. */
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const running = new Map<ChildProcess, string>();

process.once('exit', () => {
  for (const [child, folder] of running) {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

/**
 * A port that was free a moment ago. A cluster's bus port is 10 000 above it: both are below 32 768,
 * where systems begin to give ports to clients.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 10_000);
    const probe = createServer();
    probe.listen(port, HOST);
    // `once` rejects when there is an error.
    const free = await once(probe, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    const found = (probe.address() as AddressInfo).port;
    probe.close();
    await once(probe, 'close');
    return found;
  }
}

/** Starts a server's process, and resolves when it serves. */
type Start = (more: readonly string[]) => Promise<ChildProcess>;

class ServerProcess implements TestServer {
  readonly host = HOST;

  private constructor(
    private child: ChildProcess,
    private readonly folder: string,
    readonly port: number,
    private readonly start: Start,
  ) {}

  /**
   * Rejects, and removes the folder, if the process does not serve.
   *
   * @param port asked for when it serves
   */
  static async started(folder: string, port: () => number, start: Start): Promise<ServerProcess> {
    try {
      const child = await start([]);
      return new ServerProcess(child, folder, port(), start);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get pid(): number {
    return this.child.pid as number;
  }

  freeze(): void {
    this.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  async revive(more: readonly string[] = []): Promise<void> {
    await this.kill();
    this.child = await this.start(more);
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function launch(
  binary: string,
  args: readonly string[],
  folder: string,
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const child = spawn(binary, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  running.set(child, folder);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Resolves once `ready` matches the output, rejects if the process ends first. */
async function untilOutput(child: ChildProcess, ready: RegExp): Promise<ChildProcess> {
  let output = '';
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      if (ready.test(output)) resolve();
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`The server ended with ${code}:\n${output}`)));
  });
  return child;
}

/** What {@link startRedis} may be told. */
export interface RedisOptions {
  /** More arguments for redis-server. */
  args?: readonly string[] | undefined;
  /** Default: any that is free. */
  port?: number | undefined;
  /** Whether it listens with TLS only; what that needs is among {@link args}. */
  tls?: boolean | undefined;
  /** Instead of a folder of its own, which is removed with the server. */
  folder?: string | undefined;
  /** More of the environment of its process. */
  env?: NodeJS.ProcessEnv | undefined;
}

/** Starts a redis-server with nothing in it. */
export async function startRedis(binary: string, options: RedisOptions = {}): Promise<TestServer> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'holdfast-redis-')));
    const quiet = ['--save', '', '--appendonly', 'no', '--dir', folder];
    const listen = ['--bind', HOST];
    if (options.tls === true) listen.push('--port', '0', '--tls-port', String(port));
    else listen.push('--port', String(port));
    const args = [...listen, ...quiet, ...(options.args ?? [])];
    const start: Start = (more) =>
      untilOutput(
        launch(binary, [...args, ...more], folder, options.env),
        /Ready to accept connections/,
      );
    try {
      return await ServerProcess.started(folder, () => port, start);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

/** Starts a Sentinel with the directives of a configuration. */
export async function startSentinel(
  binary: string,
  directives: readonly string[],
): Promise<TestServer> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-sentinel-'));
    const config = join(folder, 'sentinel.conf');
    const lines = [`bind ${HOST}`, `port ${port}`, `dir ${folder}`, ...directives];
    await writeFile(config, `${lines.join('\n')}\n`);
    const start: Start = (more) =>
      untilOutput(launch(binary, [config, '--sentinel', ...more], folder), /Sentinel ID is/);
    try {
      return await ServerProcess.started(folder, () => port, start);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

/** Starts a memcached with nothing in it. */
export async function startMemcached(
  binary: string,
  args: readonly string[] = [],
): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-memcached-'));
  const portFile = join(folder, 'ports');
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : [];
  // With -1 the kernel picks the port, and memcached writes it down.
  let port = -1;
  const env = { MEMCACHED_PORT_FILENAME: portFile };
  const start: Start = async (more) => {
    const listen = ['-l', HOST, '-p', String(port), '-U', '0'];
    const child = launch(binary, [...listen, ...user, ...args, ...more], folder, env);
    for (let waited = 0; waited < 5_000; waited += 5) {
      const found = /TCP INET: (\d+)/.exec(await readFile(portFile, 'utf8').catch(() => ''))?.[1];
      if (found !== undefined) {
        port = Number(found);
        await rm(portFile);
        return child;
      }
      if (child.exitCode !== null) break;
      await sleep(5);
    }
    child.kill('SIGKILL');
    throw new Error(`memcached did not start (exit code ${child.exitCode}).`);
  };
  return ServerProcess.started(folder, () => port, start);
}
