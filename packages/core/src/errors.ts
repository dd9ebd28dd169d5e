/**
 * The errors of Holdfast. Each has a stable `code`; `instanceof` also works between the ESM and the
 * CommonJS copy of this package. No message contains a key, which may hold personal data: it is in
 * `error.key`.
 */

/** Carried by the prototypes below, and the same symbol in every copy of this package. */
const BRAND = Symbol.for('holdfast.error');

/** Details that every {@link LockError} may carry. */
export interface LockErrorOptions {
  /** The lock's key, as the caller gave it. @default undefined */
  key?: string | undefined;
  /** What caused this error. @default undefined */
  cause?: unknown;
}

/**
 * Base of all errors of Holdfast.
 *
 * @example
 * ```ts
 * catch (error) {
 *   if (error instanceof LockError) console.error(error.code, error.key);
 * }
 * ```
 */
export abstract class LockError extends Error {
  /** Stable, for programs to branch on. */
  abstract readonly code: string;
  /**
   * The lock's key, as the caller gave it; the first of several. It may hold personal data, so loggers
   * that print the fields of an error do not find it: it is not enumerable.
   */
  declare readonly key: string | undefined;

  constructor(message: string, options: LockErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const key = { value: options.key, configurable: true, enumerable: false, writable: true };
    Object.defineProperty(this, 'key', key);
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    const prototype = this.prototype as object;
    if (!Object.hasOwn(prototype, BRAND)) {
      // A class that a user derived from one of ours.
      return Object.prototype.isPrototypeOf.call(prototype, value as object);
    }
    if (typeof value !== 'object' || value === null) return false;
    const branded = (value as { [BRAND]?: string })[BRAND];
    const own = (prototype as { [BRAND]?: string })[BRAND];
    return branded !== undefined && (own === 'LockError' || own === branded);
  }
}

/** Gives a class its name and its brand, both on the prototype: errors of one class share them. */
function brand(type: { readonly prototype: LockError }, name: string): void {
  Object.defineProperty(type.prototype, BRAND, { value: name });
  Object.defineProperty(type.prototype, 'name', { value: name, configurable: true });
}
brand(LockError, 'LockError');

/** The lock was busy for longer than the caller was willing to wait. */
export class LockNotAcquiredError extends LockError {
  readonly code = 'LOCK_NOT_ACQUIRED';
  /** How long the caller waited, in ms. */
  readonly waited: number;
  /** HTTP status, understood by Express and Nest. */
  readonly status = 423;
  readonly statusCode = 423;
  /** Whether the message may be shown to the client. */
  readonly expose = true;
  readonly headers: Readonly<Record<string, string>> = { 'Retry-After': '1' };

  /** @param options `wait`: how long the caller was willing to wait, in ms; 0 for a single attempt */
  constructor(options: LockErrorOptions & { waited: number; wait?: number | undefined }) {
    const within = `: not acquired within ${Math.round(options.waited)} ms`;
    super(`The lock is busy${options.wait === 0 ? '' : within}.`, options);
    this.waited = options.waited;
  }
}
brand(LockNotAcquiredError, 'LockNotAcquiredError');

/**
 * Too many wait already: for this lock (`maxWaiters`), or for all locks of the locker (`maxWaiting`).
 * The caller would have had to wait, and was refused at once.
 */
export class LockQueueFullError extends LockError {
  readonly code = 'LOCK_QUEUE_FULL';
  /** How many may wait, by the option that was exceeded. */
  readonly limit: number;
  /** HTTP status, understood by Express and Nest. */
  readonly status = 503;
  readonly statusCode = 503;
  readonly expose = false;
  readonly headers: Readonly<Record<string, string>> = { 'Retry-After': '1' };

  constructor(options: LockErrorOptions & { limit: number; option: 'maxWaiters' | 'maxWaiting' }) {
    const { limit, option } = options;
    const what = option === 'maxWaiters' ? 'the lock' : 'locks of this locker';
    super(
      `${limit} acquisitions wait for ${what} already, as many as \`${option}\` allows.`,
      options,
    );
    this.limit = limit;
  }
}
brand(LockQueueFullError, 'LockQueueFullError');

/**
 * Why a lock was lost:
 * `expired` (not renewed in time), `stolen` (the store shows another owner), `evicted` (the store
 * shows nobody), `superseded` (the same owner took it over), `forced` (an operator released it),
 * `max-hold` (held for `maxHold`), `closed` (its locker was closed).
 */
export type LossReason =
  | 'expired'
  | 'stolen'
  | 'evicted'
  | 'superseded'
  | 'forced'
  | 'max-hold'
  | 'closed';

const LOSS_MESSAGES: Record<LossReason, string> = {
  expired: 'it was not renewed in time',
  stolen: 'the store shows another owner',
  evicted: 'the store no longer knows it',
  superseded: 'its owner took it over in another acquisition',
  forced: 'an operator released it',
  'max-hold': 'it was held for its maximum time',
  closed: 'its locker was closed',
};

/** The lock is no longer held, and its holder did not release it. */
export class LockLostError extends LockError {
  readonly code = 'LOCK_LOST';
  /** Why it was lost, see {@link LossReason}. */
  readonly reason: LossReason;
  /** How long it was held, in ms. */
  readonly heldFor: number;
  /** What the work returned that ran under the lock until its end: only where `throwIfLost` rejects. */
  declare readonly value?: unknown;

  constructor(options: LockErrorOptions & { reason: LossReason; heldFor: number }) {
    super(`The lock is lost: ${LOSS_MESSAGES[options.reason]}.`, options);
    this.reason = options.reason;
    this.heldFor = options.heldFor;
  }
}
brand(LockLostError, 'LockLostError');

/** The lock was released by its holder. */
export class LockReleasedError extends LockError {
  readonly code = 'LOCK_RELEASED';

  constructor(options: LockErrorOptions = {}) {
    super('The lock was released.', options);
  }
}
brand(LockReleasedError, 'LockReleasedError');

/** The one for whom an adapter held the lock is gone: a client went away, a job was cancelled. */
export class LockAbortedError extends LockError {
  readonly code = 'LOCK_ABORTED';

  constructor(message: string, options: LockErrorOptions = {}) {
    super(message, options);
  }
}
brand(LockAbortedError, 'LockAbortedError');

/** What was asked of the store when it failed. */
export type StorePhase = 'acquire' | 'renew' | 'release' | 'inspect' | 'list' | 'force-release';

/** The store failed: it is away, refused, or did not answer in time. Never used for a busy lock. */
export class LockStoreError extends LockError {
  readonly code = 'LOCK_STORE_UNAVAILABLE';
  /** What was asked of the store. */
  readonly phase: StorePhase;
  /**
   * True for what trying again cannot heal (a closed client, bad credentials, a key that holds other
   * data). Waiters are then rejected at once.
   */
  readonly permanent: boolean;
  readonly status = 503;
  readonly statusCode = 503;
  readonly expose = false;
  readonly headers: Readonly<Record<string, string>> = { 'Retry-After': '1' };

  constructor(
    message: string,
    options: LockErrorOptions & { phase: StorePhase; permanent?: boolean | undefined },
  ) {
    super(message, options);
    this.phase = options.phase;
    this.permanent = options.permanent ?? false;
  }
}
brand(LockStoreError, 'LockStoreError');

/** An argument or option is wrong. Thrown before any I/O. */
export class LockArgumentError extends LockError {
  readonly code = 'LOCK_INVALID_ARGUMENT';

  constructor(message: string, options: LockErrorOptions = {}) {
    super(message, options);
  }
}
brand(LockArgumentError, 'LockArgumentError');

const REENTRY =
  'This lock is already held by the code that asks for it, which would wait for itself. ' +
  "Pass `reentry: 'join'` to use the lock that is held, or `reentry: 'ignore'` to wait like " +
  'anyone else.';

/** The caller asked to wait for a lock that encloses the call itself: it would wait for ever. */
export class LockReentryError extends LockError {
  readonly code = 'LOCK_REENTRY';

  /** @param options `message`: for adapters, which have other ways out */
  constructor({
    message = REENTRY,
    ...options
  }: LockErrorOptions & { message?: string | undefined } = {}) {
    super(message, options);
  }
}
brand(LockReentryError, 'LockReentryError');

/**
 * Callers disagree on how many may hold a lock at once: the limit that was asked for is not the one
 * that those who hold it have agreed on.
 */
export class LockConflictError extends LockError {
  readonly code = 'LOCK_CONFLICT';
  /** The limit that was asked for. */
  readonly limit: number;
  /** The limit under which the lock is held. */
  readonly currentLimit: number;

  constructor(
    options: LockErrorOptions & {
      limit: number;
      currentLimit: number;
      message?: string | undefined;
    },
  ) {
    const { limit, currentLimit } = options;
    super(
      options.message ??
        `The lock is held with a limit of ${currentLimit}, and was asked for with a limit of ${limit}. ` +
          'All callers must give the same `limit` for a key.',
      options,
    );
    this.limit = limit;
    this.currentLimit = currentLimit;
  }
}
brand(LockConflictError, 'LockConflictError');

/** A lock was expected here and there is none. */
export class LockMissingError extends LockError {
  readonly code = 'LOCK_MISSING';

  constructor(message: string, options: LockErrorOptions = {}) {
    super(message, options);
  }
}
brand(LockMissingError, 'LockMissingError');

/** The locker was closed. */
export class LockerClosedError extends LockError {
  readonly code = 'LOCKER_CLOSED';
  readonly status = 503;
  readonly statusCode = 503;
  readonly expose = false;
  readonly headers: Readonly<Record<string, string>> = { 'Retry-After': '1' };

  constructor(options: LockErrorOptions = {}) {
    super('The locker is closed.', options);
  }
}
brand(LockerClosedError, 'LockerClosedError');
