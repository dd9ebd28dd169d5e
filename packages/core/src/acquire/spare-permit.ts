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
export function askForMore(queue: KeyQueue, like: Waiter, count: number): SparePermits {
  const asked = Math.min(count, MOST);
  const spare = new SparePermits(queue, like, asked);
  for (let index = 0; index < asked; index++) {
    // Not registered: the first in line is, for all of them.
    new Attempt(new Waiter(nobody(like), like), spare, false).start();
  }
  return spare;
}

export class SparePermits implements AttemptListener {
  constructor(
    private readonly queue: KeyQueue,
    private readonly like: Waiter,
    /** How many have not been answered. */
    public left: number,
  ) {}

  granted({ waiter, id }: Attempt, grant: Grant, now: number, room: number): void {
    const { current, like } = this;
    this.left -= 1;
    if (current?.serveLike(like, grant, now, room) !== true) waiter.takeBack(id);
    this.answered();
  }

  failed({ waiter, id }: Attempt, _error: LockStoreError): void {
    waiter.takeBack(id);
    this.left -= 1;
    this.answered();
  }

  grantedLate({ waiter, id }: Attempt): void {
    waiter.takeBack(id);
  }

  busy(): void {
    this.left -= 1;
    this.answered();
  }

  // The first in line hears of it too.
  conflicts(): void {
    this.left -= 1;
    this.answered();
  }

  /** The queue may have been forgotten meanwhile, and another have taken its place. */
  private get current(): KeyQueue | undefined {
    const { context, stored } = this.queue;
    return context.queues.byKey.get(stored);
  }

  private answered(): void {
    if (this.left === 0) this.current?.contender?.go();
  }
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
