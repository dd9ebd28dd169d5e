import { libraries } from '../clients.ts';
import type { Event } from '../events.ts';
import type { Random } from '../random.ts';
import type { Place } from '../stores.ts';

/** Does something bad, and resolves when it is over. */
type Fault = () => unknown;

/** Faults by what they are, in words. */
export type Faults = Readonly<Record<string, Fault>>;

/** Servers on which locks are taken, with the faults that befall them. */
export interface Topology {
  readonly place: Place;
  /** Of the servers. One comes after the other. */
  readonly servers: Faults;
  /** Of what is between the servers and those who lock. */
  readonly connections: Faults;
  /** Makes everything work again. */
  heal(): unknown;
  /** What is on the servers that should not be there when nobody locks any more. */
  leftovers(): Promise<string[]>;
  stop(): Promise<void>;
}

/** What a topology is made with. */
export interface Tools {
  readonly library: string;
  readonly random: Random;
  readonly tell: (event: Event) => void;
}

/** A kind of topology. */
export interface TopologyKind {
  /** The libraries of clients that can reach it. */
  readonly libraries: readonly string[];
  /** Of every lock, in ms. */
  readonly ttl: number;
  /** Whether several may hold a lock there. */
  readonly several: boolean;
  /** Whether its fencing tokens can be relied upon. */
  readonly fenced: boolean;
  start(tools: Tools): Promise<Topology>;
}

export const REDIS_CLIENTS: readonly string[] = Object.keys(libraries);

/** What is acknowledged is on disk: a server that is killed comes back with every lock. */
export const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];
