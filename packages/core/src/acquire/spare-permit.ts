import type { LockStoreError } from '../errors.ts';
import type { Grant } from '../hold/lease.ts';
import { Attempt, type AttemptListener } from './attempt.ts';
import type { KeyQueue } from './key-queue.ts';
import { Waiter, type Acquirer } from './waiter.ts';

/** So many are asked for together at most. */
const MOST = 64;

/**
 * Asks for permits like that of a waiter, in addition to its own. Whatever comes goes to those who are
 * first in line then, so that nobody overtakes; what nobody wants is given back.
 */
export function askForMore(queue: KeyQueue, like: Waiter, count: number): void {
  const spare = new SparePermits(queue, like);
  for (let asked = 0; asked < Math.min(count, MOST); asked++) {
    // Not registered: the first in line is, for all of them.
    new Attempt(new Waiter(nobody(like), like), spare, false).start();
  }
}

class SparePermits implements AttemptListener {
  constructor(
    private readonly queue: KeyQueue,
    private readonly like: Waiter,
  ) {}

  granted({ waiter, id }: Attempt, grant: Grant, now: number): void {
    const { queue, like } = this;
    const { queues } = queue.context;
    // It may have been forgotten meanwhile, and another have taken its place.
    const current = queues.byKey.get(queue.stored);
    if (current?.serveLike(like, grant, now) !== true) waiter.takeBack(id);
  }

  failed({ waiter, id }: Attempt, _error: LockStoreError): void {
    waiter.takeBack(id);
  }

  grantedLate({ waiter, id }: Attempt): void {
    waiter.takeBack(id);
  }

  // The first in line hears of these too.
  busy(): void {}
  conflicts(): void {}
}

/** Asks for what a waiter wants, in nobody's name. */
function nobody({ context, settings, since }: Waiter): Acquirer {
  const never = (): never => {
    throw new Error('A spare permit belongs to nobody.');
  };
  return {
    context,
    settings,
    since,
    owner: undefined,
    waiting: true,
    waits: () => {},
    granted: never,
    busy: never,
    refused: never,
    failed: never,
  };
}
