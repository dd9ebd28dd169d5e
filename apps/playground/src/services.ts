import type { Locker } from '@holdfast/core';
import type { Transfer } from './ledger.ts';

export const NAMES = ['billing', 'orders', 'payouts', 'refunds'];

/** Where transfers are posted. */
export interface Books {
  transfer(transfer: Transfer): Promise<void>;
}

/** One instance of a service: a locker of its own, and workers that post transfers at once. */
export interface Service {
  readonly name: string;
  readonly locker: Locker;
}

/** What a service is doing, to be looked at. */
interface Doing {
  readonly name: string;
  /** Transfers that wait for their accounts, and the one that waits longest. */
  waiting: Set<Transfer>;
  /** Transfers that are posted now, each with the fencing token of its first account. */
  holding: Map<Transfer, number>;
}

/** One of the things that a service is doing, and how many of its transfers wait. */
export interface Glimpse {
  readonly name: string;
  readonly waiting: number;
  readonly holds?: { readonly transfer: Transfer; readonly fence: number } | undefined;
  readonly waitsFor?: Transfer | undefined;
}

function glimpseOf({ name, waiting, holding }: Doing): Glimpse {
  const [held] = holding;
  const [waitsFor] = waiting;
  const holds = held === undefined ? undefined : { transfer: held[0], fence: held[1] };
  return { name, waiting: waiting.size, holds, waitsFor };
}

/** Of each service. */
const WORKERS = 6;

/** Posts one transfer. */
export type Post = (service: Service, transfer: Transfer, doing: Doing) => Promise<void>;

/** Without a lock: right as long as nobody else writes to the same accounts. */
export function unlocked(books: Books): Post {
  return async (_service, transfer) => books.transfer(transfer);
}

/** With a lock on both accounts. */
export function locked(books: Books): Post {
  return async ({ locker }, transfer, doing) => {
    const { from, to } = transfer;
    doing.waiting.add(transfer);
    await locker.withLock([from, to], async (lock) => {
      doing.waiting.delete(transfer);
      doing.holding.set(transfer, lock.tokenFor(from));
      await books.transfer(transfer);
      doing.holding.delete(transfer);
    });
  };
}

/** All services post all transfers between them, each worker the next one that nobody has begun. */
export async function postAll(
  services: readonly Service[],
  transfers: readonly Transfer[],
  post: Post,
  watch: (done: number, glimpses: readonly Glimpse[]) => void,
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
      watch(done, doings.map(glimpseOf));
    }
  };
  await Promise.all(
    services.flatMap((_, index) => Array.from({ length: WORKERS }, () => work(index))),
  );
}
