import type { Locker } from '@holdfast/core';
import { board, toExpress } from '@holdfast/board';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { paint, say } from './screen.ts';

/** Serves the board on this machine alone. @returns ends it */
export async function openBoard(lockers: Readonly<Record<string, Locker>>): Promise<() => void> {
  // Only on this machine, and only a demonstration: here everybody may release.
  const locks = board({ lockers, authorize: () => true });
  const mount = toExpress(locks);
  const server = createServer((request, response) =>
    mount(Object.assign(request, { baseUrl: '' }), response, () => response.destroy()),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  say(`\n${paint('bold', `The board: http://127.0.0.1:${port}/`)}  ${paint('dim', 'Ctrl-C ends')}`);
  return () => {
    locks.close();
    server.closeAllConnections();
    server.close();
  };
}
