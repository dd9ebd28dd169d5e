import type { World } from '../world.ts';
import type { Dataset } from './dataset.ts';
import type { Reply } from './lua.ts';
import type { Link } from './network.ts';

/** The clocks of servers at the start of a simulation, in ms since 1970. */
export const SERVER_ORIGIN = 1_790_000_000_000;

/** A server: what it holds, its clock and its connections. */
export abstract class StackServer {
  abstract readonly data: Dataset;
  isPrimary = true;
  isUp = true;
  /** How often it was started: connections to an earlier run are none any more. */
  starts = 1;
  /** Answers nothing; what arrives meanwhile is done afterwards. */
  frozenUntil = 0;
  readonly links = new Set<Link>();
  /** How far the clock is ahead, in ms. */
  ahead = 0;
  /** How far it has jumped ahead in all, in ms. */
  jumped = 0;
  readonly address: string;

  constructor(
    readonly host: string,
    readonly port: number,
    protected readonly world: World,
    /** How fast the clock goes. */
    private readonly rate: number,
  ) {
    this.address = `${host}:${port}`;
  }

  get isFrozen(): boolean {
    return this.frozenUntil > this.world.now;
  }

  /** In µs since 1970. */
  micros(): number {
    return Math.floor((SERVER_ORIGIN + this.world.now * this.rate + this.ahead) * 1_000);
  }

  /** In ms since 1970. */
  now(): number {
    return Math.floor(this.micros() / 1_000);
  }

  /** Whether its clock is behind by more than usual, so that what is written now ends too soon. */
  get isBehind(): boolean {
    return false;
  }

  /** It answers nothing for a while. */
  freeze(ms: number): void {
    this.frozenUntil = this.world.now + ms;
  }

  /** The process ends: its connections are lost, with what has arrived on them. */
  stop(): void {
    this.isUp = false;
    this.starts += 1;
    this.frozenUntil = 0;
    for (const link of this.links) link.cut();
  }

  /** It runs again, with or without what it had; of that it loads some for so many ms. */
  abstract start(keepsData: boolean, loading: number): void;

  /** Runs a request of a client; an answer may come later. */
  abstract run(link: Link, words: string[]): Reply | Promise<Reply>;

  /** No token that it grants from now on is smaller, if it has forgotten all that it has granted. */
  abstract get leastToken(): number;
}
