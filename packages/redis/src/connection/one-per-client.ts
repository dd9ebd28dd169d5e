import type { ClientPort } from './port.ts';

/**
 * A client has one port, however many stores use it.
 *
 * @param recognise makes the port of a client that has the shape it looks for
 */
export function onePerClient(
  recognise: (client: object) => ClientPort | undefined,
): (client: unknown) => ClientPort | undefined {
  const ports = new WeakMap<object, ClientPort>();
  return (client) => {
    if (typeof client !== 'object' || client === null) return undefined;
    const known = ports.get(client);
    if (known !== undefined) return known;
    const port = recognise(client);
    if (port !== undefined) ports.set(client, port);
    return port;
  };
}
