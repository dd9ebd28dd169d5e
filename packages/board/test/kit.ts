import { createLocker, memoryStore, type Locker, type LockerOptions } from '@holdfast/core';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { board, toExpress, type Board, type BoardOptions } from '../src/index.ts';
import { GUARD_HEADER } from '../src/protocol.ts';

/** A locker whose locks are not renewed while a test runs. */
export function makeLocker(options: LockerOptions = {}): Locker {
  const locker = createLocker({
    store: memoryStore(),
    ttl: 86_400_000,
    label: 'web-1:17',
    ...options,
  });
  onTestFinished(() => locker.close());
  return locker;
}

export function makeBoard(options: BoardOptions): Board {
  const made = board(options);
  onTestFinished(() => made.close());
  return made;
}

/** Asks a board without a network. */
export function get(
  made: Board,
  path: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return made(new Request(`http://ops.example${path}`, { headers }));
}

export function askRelease(
  made: Board,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return made(
    new Request('http://ops.example/locks/api/release', {
      method: 'POST',
      headers: { 'content-type': 'application/json', [GUARD_HEADER]: '1', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  );
}

/** @returns where it is served, with a slash at the end */
export async function serve(made: Board, basePath = '/ops/locks'): Promise<string> {
  const mount = toExpress(made);
  const server = createServer((request, response) =>
    mount(Object.assign(request, { baseUrl: basePath }), response, () => response.destroy()),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${basePath}/`;
}

/** Many locks at once. */
export async function hold(locker: Locker, count: number, prefix = 'order:'): Promise<void> {
  const digits = String(count - 1).length;
  for (let at = 0; at < count; at++) {
    await locker.lock(`${prefix}${String(at).padStart(digits, '0')}`);
  }
}
