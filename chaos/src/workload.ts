import { setTimeout as sleep } from 'node:timers/promises';
import {
  currentLock,
  elect,
  LockLostError,
  LockNotAcquiredError,
  LockStoreError,
  type Lock,
  type Locker,
  type LockOptions,
} from '@holdfast/core';
import type { RacyCounter } from './counter.ts';
import { machineNow, type CallId, type Ending, type Event, type Want } from './events.ts';

/** Longer than any run: everybody is served when all is well again, if not before. In ms. */
const WAIT = 86_400_000;

const alone = (key: string): Want => ({ key, weight: 1, limit: 1, shared: false });
const permit = (key: string, limit: number, weight = 1): Want => ({
  key,
  weight,
  limit,
  shared: false,
});

const PLAIN = ['red', 'green', 'blue'];
const LEADER = 'leader';

/** All keys, each as it is taken by one who wants all of it. */
export function allOf(several: boolean): Want[] {
  const exclusive = [...PLAIN, 'owned', 'kept', 'forced', LEADER].map(alone);
  if (!several) return exclusive;
  return [
    ...exclusive,
    alone('book'),
    permit('five', 5, 5),
    permit('crowd', 3, 3),
    permit('tenant', 2, 2),
    permit('total', 4, 4),
  ];
}

/** What one process does, and tells. */
export interface Surroundings {
  /** The number of the process. */
  readonly process: number;
  readonly locker: Locker;
  readonly ttl: number;
  /** Whether the store lets several hold a lock. */
  readonly several: boolean;
  /** Absent where the store has no tokens that it could check. */
  readonly counter?: RacyCounter | undefined;
  readonly random: () => number;
  readonly say: (event: Event) => void;
}

/** How an acquisition is made. */
interface Way extends Pick<LockOptions, 'owner' | 'holdAtLeast' | 'signal' | 'wait'> {
  readonly verb?: 'lock' | 'withLock' | 'tryLock' | 'tryWithLock';
}

/** Locks in every way that there is, over and over. */
export class Workload {
  private calls = 0;
  private keeping = false;

  constructor(private readonly around: Surroundings) {}

  /** One of the things that processes do, by chance. */
  async round(): Promise<void> {
    const rounds: (() => Promise<void>)[] = [
      () => this.run([alone(this.pick(PLAIN))], {}),
      () => this.run([alone(this.pick(PLAIN))], {}),
      () => this.run(this.two().map(alone), {}),
      () => this.run([alone(this.pick(PLAIN))], { signal: this.soon() }),
      () => this.run([alone(this.pick(PLAIN))], { verb: 'tryLock', wait: this.shortWait() }),
      () => this.run(this.two().map(alone), { verb: 'tryWithLock', wait: this.shortWait() }),
      () => this.run([alone('owned')], { owner: this.pick(['task 1', 'task 2', 'task 3']) }),
      () => this.keep(),
      () => this.force(),
    ];
    if (this.around.several) {
      rounds.push(
        () => this.run([permit('five', 5, 1 + this.below(3))], {}),
        () => this.run([permit('five', 5, 5)], { signal: this.soon() }),
        () => this.run([permit('tenant', 2), permit('total', 4)], {}),
        () => this.run([permit('total', 4)], { verb: 'tryLock' }),
        () => this.run([{ ...alone('book'), shared: true }], {}),
        () => this.run([{ ...alone('book'), shared: true }], { verb: 'tryWithLock' }),
        () => this.run([alone('book')], {}),
        () => this.forceOne(),
      );
    }
    await this.pick(rounds)();
  }

  /** Campaigns until it is told to stop. */
  async campaign(until: AbortSignal): Promise<void> {
    const { locker, say } = this.around;
    let call = this.asked([alone(LEADER)]);
    const candidate = elect(locker, LEADER, {
      onElected: async (term, signal) => {
        const lock = currentLock(LEADER) as Lock;
        signal.addEventListener('abort', () => {
          if (signal.reason instanceof LockLostError) this.lost(call, signal.reason);
        });
        const leads = (): void => {
          if (!candidate.isLeader || candidate.term !== term) throw new Error('not the leader');
        };
        await this.work(call, lock, leads, () => signal.aborted);
        say({ what: 'ended', call, how: 'resigned', at: machineNow() });
        call = this.asked([alone(LEADER)]);
      },
    });
    await new Promise((resolve) => {
      until.addEventListener('abort', resolve);
    });
    await candidate.close();
    say({ what: 'ended', call, how: 'resigned', at: machineNow() });
  }

  private async run(wants: readonly Want[], way: Way): Promise<void> {
    const { locker, say } = this.around;
    const { verb = this.pick(['lock', 'withLock'] as const), ...own } = way;
    const tries = verb.startsWith('try');
    const call = this.asked(wants, own);
    const [{ weight, shared }] = wants as [Want];
    const options: LockOptions = {
      wait: tries ? 0 : WAIT,
      ...own,
      ...(wants.some(({ limit }) => limit > 1) && {
        limit: wants.map(({ limit }) => limit),
        weight,
      }),
      ...(shared && { shared }),
      onLost: (error) => this.lost(call, error),
    };
    const keys = wants.map(({ key }) => key);
    const work = (lock: Lock): Promise<void> =>
      this.work(
        call,
        lock,
        () => lock.assertHeld(),
        () => false,
      );
    const byHand = async (lock: Lock | null): Promise<boolean> => {
      if (lock === null) return false;
      try {
        await work(lock);
      } finally {
        await lock.release();
      }
      return true;
    };
    const verbs: Record<typeof verb, () => Promise<boolean>> = {
      lock: async () => byHand(await locker.lock(keys, options)),
      tryLock: async () => byHand(await locker.tryLock(keys, options)),
      withLock: async () => {
        await locker.withLock(keys, options, work);
        return true;
      },
      tryWithLock: async () => (await locker.tryWithLock(keys, options, work)).acquired,
    };
    let how: Ending;
    try {
      how = (await verbs[verb]()) ? 'released' : 'busy';
    } catch (error) {
      if (own.signal?.aborted === true && error === own.signal.reason) how = 'aborted';
      else if (error instanceof LockNotAcquiredError) how = 'busy';
      else how = 'store failed';
      const isOutage = error instanceof LockStoreError && !error.permanent;
      const expected = how === 'aborted' || (tries && (how === 'busy' || isOutage));
      if (!expected) this.failed(`${verb} of ${keys.join(' and ')}`, error);
    }
    say({ what: 'ended', call, how, at: machineNow() });
  }

  /**
   * Reads a counter, thinks, and writes it: which is wrong as soon as two do it at once. Tells all the
   * while that it holds the lock.
   */
  private async work(
    call: CallId,
    lock: Lock,
    assertHeld: () => void,
    isOver: () => boolean,
  ): Promise<void> {
    const { counter, say, ttl } = this.around;
    const holds = (): boolean => {
      const before = machineNow();
      try {
        assertHeld();
      } catch {
        return false;
      }
      say({ what: 'held', call, at: before });
      return true;
    };
    try {
      assertHeld();
    } catch {
      return;
    }
    const { keys, owner } = lock;
    // Those of memcached begin anew with the server.
    const tokens = keys.map((key) => (counter === undefined ? 0 : lock.tokenFor(key)));
    say({ what: 'granted', call, tokens, owner, at: machineNow() });
    const isCounted = counter !== undefined && [...PLAIN, LEADER].includes(keys[0] as string);
    const counts: (number | undefined)[] = [];
    for (const [index, key] of keys.entries()) {
      if (isCounted) counts.push(await counter.read(key, tokens[index] as number));
    }
    // Most are quick, some do not get it done within one lease.
    const isLong = this.chance(0.03);
    const lasting = isLong ? ttl * (0.5 + this.around.random()) : this.below(8);
    for (const end = machineNow() + lasting; machineNow() < end && !isOver();) {
      await sleep(this.below(isLong ? 20 : 4));
      if (!holds()) return;
      if (this.chance(0.01)) await this.extend(lock);
    }
    if (!holds()) return;
    for (const [index, key] of keys.entries()) {
      const [count, token] = [counts[index], tokens[index] as number];
      if (count === undefined || counter === undefined) continue;
      if (await counter.write(key, token, count + 1)) {
        say({ what: 'wrote', call, key, token, count: count + 1 });
      }
    }
  }

  private async extend(lock: Lock): Promise<void> {
    await lock.extend().catch((error: unknown) => {
      if (error instanceof LockLostError || error instanceof LockStoreError) return;
      this.failed('extend', error);
    });
  }

  /** One task at a time: where leases are whole seconds, all would soon be waiting for this lock. */
  private async keep(): Promise<void> {
    if (this.keeping) return;
    this.keeping = true;
    await this.run([alone('kept')], { holdAtLeast: 20 + this.below(300) });
    this.keeping = false;
  }

  /** Takes a lock that operators end, or ends it. */
  private async force(): Promise<void> {
    const key = 'forced';
    if (this.chance(0.8)) await this.run([alone(key)], {});
    else await this.end(key);
  }

  /** Takes a permit of those that operators end one by one, or ends one. */
  private async forceOne(): Promise<void> {
    const key = 'crowd';
    if (this.chance(0.8)) {
      await this.run([permit(key, 3)], {});
      return;
    }
    const info = await this.around.locker.inspect(key).catch((error: unknown) => {
      if (!(error instanceof LockStoreError)) this.failed('inspect', error);
      return null;
    });
    const holders = info?.holders ?? [];
    if (holders.length > 0) await this.end(key, this.pick(holders).owner);
  }

  private async end(key: string, owner?: string): Promise<void> {
    const { locker, say } = this.around;
    const from = machineNow();
    let sure = false;
    try {
      sure = await locker.forceRelease(key, { owner });
    } catch (error) {
      if (!(error instanceof LockStoreError)) this.failed('forceRelease', error);
    }
    say({ what: 'forced', key, owner, from, at: machineNow(), sure });
  }

  private asked(wants: readonly Want[], { owner, holdAtLeast }: Way = {}): CallId {
    const { process, say } = this.around;
    const call: CallId = `${process}.${++this.calls}`;
    say({ what: 'asked', call, wants, owner, atLeast: holdAtLeast, at: machineNow() });
    return call;
  }

  private lost(call: CallId, { reason }: LockLostError): void {
    this.around.say({ what: 'lost', call, reason, at: machineNow() });
  }

  private failed(what: string, error: unknown): void {
    this.around.say({ what: 'failed', error: `${what} failed: ${String(error)}` });
  }

  private soon(): AbortSignal {
    return AbortSignal.timeout(this.below(200));
  }

  private shortWait(): number {
    return this.chance(0.5) ? 0 : this.below(100);
  }

  /** Two keys, in any order. */
  private two(): string[] {
    const left = [...PLAIN];
    return [1, 2].map(() => left.splice(this.below(left.length), 1)[0] as string);
  }

  private below(limit: number): number {
    return Math.floor(this.around.random() * limit);
  }

  private chance(probability: number): boolean {
    return this.around.random() < probability;
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
