import type { QueuePlace } from '../scripts/reserved.ts';

/** After a wake-up that was none, the next one of the same lock is believed so many ms later. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 500;

interface Wait {
  readonly registration: QueuePlace;
  /** Registered by a request that was sent before messages arrived. */
  unheard: boolean;
  /** Woken since the server's last answer. */
  woken: boolean;
  /** How often in a row a wake-up was followed by a refusal. */
  refusals: number;
  believedFrom: number;
}

/**
 * Who waits for which lock, as far as messages are concerned: who may have missed one, and whose
 * wake-ups lead to nothing. Anybody who knows a channel can send wake-ups: each costs one request at
 * most, and those that lead to nothing soon cost none.
 */
export class Waits {
  /** By locker and lock. */
  readonly all = new Map<string, Wait>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** The server has answered that a locker has to wait. */
  registered(registration: QueuePlace, unheard: boolean): void {
    const name = nameOf(registration);
    const wait = this.all.get(name);
    if (wait === undefined) {
      const believedFrom = -Infinity;
      this.all.set(name, { registration, unheard, woken: false, refusals: 0, believedFrom });
      return;
    }
    wait.unheard = unheard;
    if (!wait.woken) return;
    wait.woken = false;
    const pause = Math.min(FIRST_PAUSE * 2 ** wait.refusals, LONGEST_PAUSE);
    wait.refusals += 1;
    wait.believedFrom = this.now() + pause;
  }

  /** It waits no longer. */
  ended(member: string, key: string): void {
    this.all.delete(nameOf({ member, key }));
  }

  /**
   * A wake-up has come.
   *
   * @returns whether to pass it on
   */
  woken(registration: QueuePlace): boolean {
    // Who is not known may have been woken sooner than it was answered.
    const wait = this.all.get(nameOf(registration));
    if (wait === undefined) return true;
    if (wait.woken || this.now() < wait.believedFrom) return false;
    wait.woken = true;
    return true;
  }

  /** Those who may have missed a message; from now on they are taken to be told. */
  takeUnheard(): readonly QueuePlace[] {
    const unheard = [...this.all.values()].filter((wait) => wait.unheard);
    for (const wait of unheard) wait.unheard = false;
    return unheard.map(({ registration }) => registration);
  }

  clear(): void {
    this.all.clear();
  }
}

const nameOf = ({ member, key }: QueuePlace): string => `${member} ${key}`;
