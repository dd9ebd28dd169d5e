import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emit } from './project.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Loaded before an example: it runs beside other tests, so what it listens on and connects to is moved. */
const PRELOAD = `
const net = require('node:net');
const moved = JSON.parse(process.env.MOVED_PORTS);
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...args) {
  this.once('listening', () => process.send?.({ port: this.address().port }));
  return listen.call(this, 0, '127.0.0.1', ...args.filter((one) => typeof one === 'function'));
};
const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (...args) {
  const options = [args[0]].flat()[0];
  const port = moved[options?.port];
  if (port !== undefined) options.port = port;
  return connect.apply(this, args);
};
`;

/** The first TypeScript example of a package's README. */
export function firstExample(name: string): string {
  const readme = readFileSync(join(root, 'packages', name, 'README.md'), 'utf8');
  const code = /^```ts\n(?<code>.*?)^```$/ms.exec(readme)?.groups?.['code'];
  if (code === undefined) throw new Error(`The README of ${name} has no example.`);
  return code;
}

/** As it is pasted into a file of CommonJS, which has no `await` outside of functions. */
function inCommonJs(example: string): string {
  if (!/^(?:await|.*= await|for await|await using) /m.test(example)) return example;
  const lines = example.split('\n');
  const last = lines.findLastIndex((line) => /^(?:import |\} from )/.test(line));
  const [imports, body] = [lines.slice(0, last + 1), lines.slice(last + 1)];
  return [...imports, 'async function main() {', ...body, '}', 'void main();', ''].join('\n');
}

/** Compiles an example strictly; what the compiler complains of. */
export async function compileExample(
  folder: string,
  example: string,
  module: 'mts' | 'cts',
): Promise<string> {
  const file = `example.${module}`;
  await writeFile(join(folder, file), module === 'cts' ? inCommonJs(example) : example);
  return emit('6.0', folder, [file], ['--types', 'node']);
}

/** What became of an example that ran. */
export interface ExampleRun {
  /** Of the process; null if it had to be stopped, as a server has to be. */
  readonly exitCode: number | null;
  readonly output: string;
}

/**
 * Runs a compiled example. One that listens is used, and stopped; any other must end by itself.
 *
 * @param movedPorts the ports of servers that the example expects, and where they are
 * @param use asks a server that the example started
 */
export async function runExample(
  folder: string,
  module: 'mjs' | 'cjs',
  movedPorts: Readonly<Record<number, number>> = {},
  use?: (url: string) => Promise<void>,
): Promise<ExampleRun> {
  const preload = join(folder, 'preload.cjs');
  await writeFile(preload, PRELOAD);
  const child = spawn(process.execPath, ['--require', preload, `example.${module}`], {
    cwd: folder,
    env: { ...process.env, MOVED_PORTS: JSON.stringify(movedPorts) },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => (output += String(chunk)));
  }
  const exit = once(child, 'exit');
  try {
    if (use !== undefined) {
      const [message] = (await Promise.race([
        once(child, 'message'),
        exit.then(() => {
          throw new Error(`The example ended before it listened: ${output}`);
        }),
      ])) as [{ port: number }];
      await use(`http://127.0.0.1:${message.port}`);
      return { exitCode: null, output };
    }
    await exit;
    return { exitCode: child.exitCode, output };
  } finally {
    child.kill();
    await exit;
  }
}
