import { checkOptions, type Locker } from '@holdfast/core';

// Public types name these, and a consumer may compile without Node's types and the DOM's. Where the real
// declarations are there, these merge with them.
declare global {
  interface Request {}
  interface Response {}
}

/** What somebody at the board wants to do. */
export interface BoardAction {
  readonly type: 'release';
  /** The name of the locker. */
  readonly locker: string;
  /** As callers gave it, whatever the page shows. */
  readonly key: string;
}

/** A release at the board that was carried out. */
export interface BoardRelease extends BoardAction {
  /** What the person gave as the reason. */
  readonly reason: string;
  /** Whether it was held. */
  readonly released: boolean;
  /** Who held it, for people. */
  readonly label?: string | undefined;
  readonly request: Request;
}

/** What a mount knows beyond the request. */
export interface BoardContext {
  /** Where the board is mounted, without a slash at the end. */
  readonly basePath?: string | undefined;
  /** The framework's own request, with what its middleware has put there. */
  readonly native?: unknown;
}

/** Options of {@link board}. */
export interface BoardOptions {
  /** One, several, or several by name. */
  lockers: Locker | readonly Locker[] | Readonly<Record<string, Locker>>;
  /**
   * Whether somebody may do something. Asked on the server, each time; whatever is not `true` is no.
   *
   * @default nobody may do anything: the board is read-only
   */
  authorize?:
    | ((
        request: Request,
        action: BoardAction,
        context: BoardContext,
      ) => boolean | PromiseLike<boolean>)
    | undefined;
  /**
   * Told of each release at the board, for the audit log. The release has been carried out by then: if
   * this throws or rejects, that is a warning of the process, `HOLDFAST_ON_RELEASE_FAILED`.
   */
  onRelease?: ((release: BoardRelease) => unknown) | undefined;
  /**
   * What is shown of a key. The key itself then never leaves the server. Where it throws, or answers no
   * string, nothing of the key is shown.
   *
   * @default all of it
   */
  redact?: ((key: string) => string) | undefined;
  /**
   * Where it is mounted, such as `/admin/locks`. Mounts of frameworks that know it tell it themselves.
   *
   * @default any path: told by the end of the path what is asked for
   */
  basePath?: string | undefined;
  /**
   * With `redact`, and several processes behind one address: a secret that they share, so that one
   * understands what another has named.
   *
   * @default a random one
   */
  secret?: string | undefined;
}

/**
 * Refuses options that do not exist: a slip in `redact` would show every key.
 *
 * @throws LockArgumentError
 */
export function checkBoardOptions(options: BoardOptions): void {
  checkOptions<BoardOptions>(options, {
    lockers: true,
    authorize: true,
    onRelease: true,
    redact: true,
    basePath: true,
    secret: true,
  });
}

/** @throws TypeError */
export function namedLockers(lockers: BoardOptions['lockers']): Map<string, Locker> {
  const entries: [string, unknown][] = isLocker(lockers)
    ? [['locks', lockers]]
    : Array.isArray(lockers)
      ? Array.from(lockers, (locker: unknown, index): [string, unknown] => [
          `locker ${index + 1}`,
          locker,
        ])
      : Object.entries(lockers ?? {});
  if (entries.length === 0) throw new TypeError('board() needs at least one locker: { lockers }.');
  for (const [name, locker] of entries) {
    if (!isLocker(locker)) throw new TypeError(`What board() got as '${name}' is no locker.`);
  }
  return new Map(entries as [string, Locker][]);
}

function isLocker(value: unknown): value is Locker {
  return typeof (value as Locker | undefined)?.forceRelease === 'function';
}
