import { Redis as Client } from 'ioredis';

const made = new Set<Client>();

/**
 * The client that pages use, remembered. They import it by what `module.ts` puts in the place of ioredis.
 *
 * @public
 */
export class Redis extends Client {
  constructor(url: string) {
    super(url);
    made.add(this);
  }
}

/** Closes the clients that pages have made. */
export function closeClients(): void {
  for (const client of made) client.disconnect();
  made.clear();
}
