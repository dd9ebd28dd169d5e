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
  if (port !== undefined) Object.assign(options, { port, host: '127.0.0.1' });
  return connect.apply(this, args);
};
`;

/** The first block of one language in a README: of a package, or of the repository. */
function firstBlock(name: string, language: string): string {
  const folder = name === 'repository' ? '.' : join('packages', name);
  const readme = readFileSync(join(root, folder, 'README.md'), 'utf8');
  const code = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'ms').exec(readme)?.[1];
  if (code === undefined) throw new Error(`The README of ${name} has no example.`);
  return code;
}

/** The first TypeScript example of a README. */
export const firstExample = (name: string): string => firstBlock(name, 'ts');

/** The words of the first command of a README. */
export const firstCommand = (name: string): string[] => firstBlock(name, 'sh').trim().split(/\s+/);

/** As it is pasted into a file of CommonJS, which has no `await` outside of functions. */
function inCommonJs(example: string): string {
  const lines = example.split('\n');
  const first = lines.findIndex((line) => /^(?:await|.*= await|for await|await using) /.test(line));
  if (first < 0) return example;
  const [declared, body] = [lines.slice(0, first), lines.slice(first)];
  return [...declared, 'async function main() {', ...body, '}', 'void main();', ''].join('\n');
}

/**
 * Compiles an example strictly, as an ES module and as CommonJS; what the compiler complains of. The types
 * of what it imports are checked by other tests.
 */
export async function compileExample(
  folder: string,
  example: string,
  options: readonly string[] = [],
): Promise<string> {
  await writeFile(join(folder, 'example.mts'), example);
  await writeFile(join(folder, 'example.cts'), inCommonJs(example));
  const files = ['example.mts', 'example.cts'];
  return emit('6.0', folder, files, ['--types', 'node', '--skipLibCheck', ...options]);
}

/** What became of an example that ran. */
export interface ExampleRun {
  /** Of the process; null if it had to be stopped, as a server has to be. */
  readonly exitCode: number | null;
  readonly output: string;
}

/** How it is known that an example has done its work, if it does not end by itself. */
export interface Goal {
  /** Asks the server that it started, which is stopped afterwards. */
  readonly use?: ((url: string) => Promise<void>) | undefined;
  /** What it prints before it is stopped. */
  readonly prints?: RegExp | undefined;
}

/**
 * Runs a compiled example, to its end or until it has reached its goal.
 *
 * @param movedPorts the ports of servers that the example expects, and where they are
 */
export async function runExample(
  folder: string,
  module: 'mjs' | 'cjs',
  movedPorts: Readonly<Record<number, number>>,
  { use, prints }: Goal,
): Promise<ExampleRun> {
  const preload = join(folder, 'preload.cjs');
  await writeFile(preload, PRELOAD);
  const child = spawn(process.execPath, ['--require', preload, `example.${module}`], {
    cwd: folder,
    env: { ...process.env, MOVED_PORTS: JSON.stringify(movedPorts) },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  const printed = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += String(chunk);
        if (prints?.test(output) === true) resolve();
      });
    }
  });
  const exit = once(child, 'close');
  const tooEarly = exit.then(() => {
    throw new Error(`The example ended too early: ${output}`);
  });
  tooEarly.catch(() => {});
  try {
    if (use !== undefined) {
      const listens = once(child, 'message') as Promise<[{ port: number }]>;
      const [{ port }] = await Promise.race([listens, tooEarly]);
      await use(`http://127.0.0.1:${port}`);
    } else if (prints !== undefined) {
      await Promise.race([printed, tooEarly]);
    } else {
      await exit;
    }
    return { exitCode: child.exitCode, output };
  } finally {
    child.kill();
    await exit;
  }
}
