import { Redis as Client } from 'ioredis';

const made = new Set<Client>();

/** The client that pages use, remembered. */
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
