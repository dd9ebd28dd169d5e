/** What pages and tests use of it: its own types are not found by Node's resolution. */
declare module 'redlock' {
  import type { Redis } from 'ioredis';

  interface Settings {
    retryCount: number;
  }

  export default class Redlock {
    constructor(clients: readonly Redis[], settings?: Partial<Settings>);
    acquire(keys: string[], ttl: number): Promise<{ release(): Promise<unknown> }>;
    using<T>(keys: string[], ttl: number, routine: (signal: AbortSignal) => Promise<T>): Promise<T>;
  }
}
