/** The services that are watched, each in a process of its own. */
export const SERVICES = ['express', 'nest', 'bullmq'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** What a process of a service says of itself. */
export interface Sample {
  /** In use after a garbage collection, in bytes. */
  readonly heap: number;
  /** Sockets, timers and requests that keep it alive. */
  readonly handles: number;
}

/** So many keys are locked, over and over. */
export const KEYS = 50;

/** The work under a lock takes up to so many ms. */
export const LONGEST_WORK = 20;

/** How a service is run. */
export interface ServiceOptions {
  readonly redisPort: number;
  /** Keeps something of every request for ever, to show that it would be noticed. */
  readonly leaks: boolean;
}

export interface Service {
  /** Of those that are called by HTTP. */
  readonly port?: number;
  stop(): Promise<void>;
}
