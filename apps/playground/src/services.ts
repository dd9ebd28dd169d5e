import type { Lock, Locker } from '@holdfast/core';
import type { Ledger, Transfer } from './ledger.ts';

/** One instance of a service: a locker of its own, and workers that post transfers at once. */
export interface Service {
  readonly name: string;
  readonly locker: Locker;
}

/** What a service is doing, to be looked at. */
export interface Doing {
  readonly name: string;
  /** Transfers that wait for their accounts, and the one that waits longest. */
  waiting: Set<Transfer>;
  /** Transfers that are posted now, with their locks. */
  holding: Map<Transfer, Lock | undefined>;
}

const WORKERS = 6;

/** Posts one transfer. */
export type Post = (service: Service, transfer: Transfer, doing: Doing) => Promise<void>;

/** Without a lock: right as long as nobody else writes to the same accounts. */
export function unlocked(ledger: Ledger): Post {
  return async (_service, transfer) => ledger.transfer(transfer);
}

/** With a lock on both accounts. */
export function locked(ledger: Ledger): Post {
  return async ({ locker }, transfer, doing) => {
    const { from, to } = transfer;
    doing.waiting.add(transfer);
    await locker.withLock([from, to], async (lock) => {
      doing.waiting.delete(transfer);
      doing.holding.set(transfer, lock);
      await ledger.transfer(transfer);
      doing.holding.delete(transfer);
    });
  };
}

/** All services post all transfers between them, each worker the next one that nobody has begun. */
export async function postAll(
  services: readonly Service[],
  transfers: readonly Transfer[],
  post: Post,
  watch: (done: number, doings: readonly Doing[]) => void,
): Promise<void> {
  const queue = transfers.values();
  const doings = services.map(({ name }): Doing => ({
    name,
    waiting: new Set(),
    holding: new Map(),
  }));
  let done = 0;
  const work = async (index: number): Promise<void> => {
    for (const transfer of queue) {
      await post(services[index] as Service, transfer, doings[index] as Doing);
      done += 1;
      watch(done, doings);
    }
  };
  await Promise.all(
    services.flatMap((_, index) => Array.from({ length: WORKERS }, () => work(index))),
  );
}
