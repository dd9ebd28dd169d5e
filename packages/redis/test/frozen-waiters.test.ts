import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { expect } from 'vitest';
import { useProgram } from './program.ts';
import { test, waiting, type Site } from './site.ts';

const program = useProgram('wait');

interface Waiter {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

/** A process that waits for a key. */
async function startWaiter(site: Site): Promise<Waiter> {
  const url = `redis://${site.proxy.host}:${site.proxy.port}`;
  const child = spawn(process.execPath, [program.file, url, 'key'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  site.onEnd(() => child.kill('SIGKILL'));
  const output: Interface = createInterface(child.stdout as NodeJS.ReadableStream);
  const lines = output[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('waiting');
  return { child, lines };
}

test.for(['SIGSTOP', 'SIGKILL'] as const)(
  'processes that wait and get %s delay the next by two seconds at most',
  { timeout: 120_000 },
  async (signal, { site }) => {
    const holder = site.locker({ ttl: 60_000 });
    const lock = await holder.lock('key');
    const gone = [await startWaiter(site), await startWaiter(site), await startWaiter(site)];
    const live = site.locker();
    const { taken } = await waiting(live, () => live.lock('key'));
    for (const { child } of gone) child.kill(signal);
    expect(await lock.release()).toBe(true);
    const startedAt = performance.now();
    const next = await taken;
    // 2 s, and what a busy machine adds; in virtual time it is looked at closely.
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    if (signal === 'SIGKILL') return;
    // Those that thaw wait on, and have it one after the other.
    for (const { child } of gone) child.kill('SIGCONT');
    expect(await next.release()).toBe(true);
    const tokens: number[] = [];
    for (const { child, lines } of gone) {
      const { value } = await lines.next();
      tokens.push(Number(/^held (\d+)$/.exec(String(value))?.[1]));
      if (child.exitCode === null) await once(child, 'exit');
      expect(child.exitCode).toBe(0);
    }
    expect(new Set(tokens).size).toBe(gone.length);
    for (const token of tokens) expect(token).toBeGreaterThan(next.fencingToken);
  },
);
