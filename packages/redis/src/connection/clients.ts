import { ioredisPort } from './ioredis.ts';
import type { ClientPort } from './port.ts';

/** What error messages call the clients that Holdfast can use. */
export const ACCEPTED = 'a connected client of ioredis or iovalkey';

/** How a user's client is used, if it is one that Holdfast knows by its shape. */
export function portOf(client: unknown): ClientPort | undefined {
  return ioredisPort(client);
}
