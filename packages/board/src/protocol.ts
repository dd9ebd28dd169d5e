// What the page and its server tell each other.

/** A lock that is held, as the page shows it. */
export interface LockRow {
  /** Which of the lockers of the board. */
  readonly locker: string;
  /** Names the key in requests; not the key where keys are redacted. */
  readonly id: string;
  /** As it may be shown. */
  readonly key: string;
  readonly label: string;
  readonly token: number;
  /** ms since 1970. */
  readonly since?: number | undefined;
  /** ms. */
  readonly remaining?: number | undefined;
  readonly waiters: number;
  /** How many hold it, if more than one; `label`, `token` and times are those of one of them. */
  readonly holders?: number | undefined;
}

/** One of several who hold a lock. */
interface Holder {
  readonly label: string;
  readonly token: number;
  /** ms since 1970. */
  readonly since?: number | undefined;
  /** ms. */
  readonly remaining?: number | undefined;
}

export interface LockDetails extends LockRow {
  /** All who hold it; of very many the first. */
  readonly heldBy: readonly Holder[];
  readonly queue: readonly { readonly label: string; readonly since: number }[];
  /** Whether the server would let this visitor release it. */
  readonly mayRelease: boolean;
}

export interface LockPageReply {
  readonly locks: readonly LockRow[];
  /** Of the next page, if there is one. */
  readonly cursor?: string | undefined;
}

/** How long a key was waited for lately, in ms, and by how many. */
export interface HotKey {
  readonly key: string;
  readonly waited: number;
  readonly waits: number;
}

export interface TimelineEntry {
  /** Grows by one. */
  readonly number: number;
  readonly at: number;
  readonly event: string;
  readonly locker: string;
  readonly key?: string | undefined;
  readonly label?: string | undefined;
  /** Such as how long it was waited for, or why it was lost. */
  readonly note?: string | undefined;
}

export interface LockerState {
  readonly id: string;
  readonly name: string;
  /** Absent where the store cannot list what is held. */
  readonly held?: number | undefined;
  /** Whether all that is held has been looked at. */
  readonly complete: boolean;
  /** Why it could not be looked at. */
  readonly error?: string | undefined;
}

/** The whole picture, sent about once a second. */
export interface BoardState {
  readonly now: number;
  readonly lockers: readonly LockerState[];
  readonly waiting: number;
  /** Held and waited for, the worst first. */
  readonly stuck: readonly LockRow[];
  readonly hottest: readonly HotKey[];
}

export interface ReleaseRequest {
  readonly locker: string;
  readonly id: string;
  readonly reason: string;
}

/** Carried by every request that changes something: no other site can make a browser send it. */
export const GUARD_HEADER = 'x-holdfast-board';
