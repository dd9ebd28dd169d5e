import type { Random } from './random.ts';

/** Something of ours that hears from outside, set up to be attacked. */
export interface Target {
  /** Sends one hostile input, and tells what it did that nothing may do. */
  attack(random: Random): Promise<string | undefined>;
  /** After some inputs: does it still do what it is there for? Tells what is wrong. */
  check(): Promise<string | undefined>;
  stop(): Promise<void>;
}

/** How a {@link Target} is set up, and how many of a hundred inputs it gets. */
export interface TargetKind {
  readonly name: string;
  readonly share: number;
  start(): Promise<Target>;
}
