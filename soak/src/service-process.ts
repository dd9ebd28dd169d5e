import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Sample, ServiceName } from './protocol.ts';

const MAIN = fileURLToPath(new URL('service-main.ts', import.meta.url));

/** How long a process may take to end, in ms. */
const PATIENCE = 15_000;

/** A process with a service, see `service-main.ts`. */
export class ServiceProcess {
  private readonly exited: Promise<unknown>;

  private constructor(
    readonly name: ServiceName,
    private readonly child: ChildProcess,
    /** Of a service that is called by HTTP. */
    readonly port: number | undefined,
  ) {
    this.exited = once(child, 'exit');
  }

  static async start(
    name: ServiceName,
    redisPort: number,
    leaks: boolean,
  ): Promise<ServiceProcess> {
    const node = ['--expose-gc', '--import', import.meta.resolve('tsx')];
    const args = [...node, '--conditions=@holdfast/source', MAIN, name, String(redisPort)];
    if (leaks) args.push('leaks');
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`The service ${name} ended with ${String(code)} before it had begun.`);
    });
    failed.catch(() => {});
    const [ready] = (await Promise.race([once(child, 'message'), failed])) as [{ port?: number }];
    return new ServiceProcess(name, child, ready.port);
  }

  async sample(): Promise<Sample> {
    if (!this.child.connected) throw new Error(`The service ${this.name} is gone.`);
    const answer = once(this.child, 'message');
    this.child.send('sample');
    const gone = this.exited.then(() => {
      throw new Error(`The service ${this.name} ended.`);
    });
    gone.catch(() => {});
    const [sample] = (await Promise.race([answer, gone])) as [Sample];
    return sample;
  }

  async stop(): Promise<void> {
    if (this.child.connected) this.child.send('stop');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE);
    await this.exited;
    clearTimeout(timer);
  }
}
