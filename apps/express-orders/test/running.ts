import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { useBundle } from '@holdfast/test-servers/bundle';

const folder = fileURLToPath(new URL('..', import.meta.url));
let compiled: { readonly folder: string };

/** Compiles the application for the tests of a file. */
export function useApplication(): void {
  compiled = useBundle(folder, ['src/main.ts']);
}

/** The application as it is started. */
export interface Running {
  readonly child: ChildProcess;
  readonly urls: readonly string[];
  /** What it printed so far. */
  readonly output: () => string;
}

/** A new folder for a database, and how to delete it. */
export function databaseFolder(): { folder: string; url: string; remove: () => void } {
  const made = mkdtempSync(join(tmpdir(), 'holdfast-orders-'));
  const remove = (): void => rmSync(made, { recursive: true, force: true });
  return { folder: made, url: `file:${join(made, 'orders.db')}`, remove };
}

/** Starts the application on free ports. */
export async function start(env: NodeJS.ProcessEnv, instances = 2): Promise<Running> {
  const PORTS = Array.from({ length: instances }, () => '0').join(',');
  const child = spawn(process.execPath, [join(compiled.folder, 'main.mjs')], {
    cwd: folder,
    env: { ...process.env, REDIS_URL: '', ...env, PORTS },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const started = new Promise<readonly string[]>((resolve, reject) => {
    const heard = (chunk: Buffer): void => {
      output += String(chunk);
      const urls = output.match(/http:\/\/localhost:\d+/g) ?? [];
      if (urls.length === instances) resolve(urls);
    };
    child.stdout.on('data', heard);
    child.stderr.on('data', heard);
    child.once('exit', () => reject(new Error(`The application did not start: ${output}`)));
  });
  return { child, urls: await started, output: () => output };
}

export async function stop({ child }: Running): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill();
  await once(child, 'exit');
}

export interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
  readonly retryAfter: string | null;
}

export async function ask(
  url: string,
  method = 'POST',
  body?: object,
  signal?: AbortSignal,
): Promise<Answer> {
  const headers = { 'Content-Type': 'application/json' };
  const sent = body ? JSON.stringify(body) : null;
  const reply = await fetch(url, { method, headers, body: sent, signal: signal ?? null });
  const text = await reply.text();
  const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, unknown>;
  return { status: reply.status, json, retryAfter: reply.headers.get('Retry-After') };
}
