/**
 * What Holdfast needs of a client, whichever it is: one file of this folder per client library, and
 * nothing outside of it knows which one is used. A port stands for the user's own connection, which is
 * never closed here; what it opens is Holdfast's own.
 */
export interface ClientPort {
  /**
   * Runs a script by its name. `words` are the KEYS, so many, and then the ARGV. What the server refuses
   * has its own words as the message.
   */
  evalsha(sha: string, keys: number, words: string[]): Promise<unknown>;
  /** Runs a script by its text. */
  eval(source: string, keys: number, words: string[]): Promise<unknown>;
  /** What the client itself puts before every key. */
  readonly keyPrefix: string;
  /** Whether the keys of one call must be in one slot. */
  readonly isCluster: boolean;
  readonly state: ClientState;
  /** @returns ends it */
  watch(watcher: ClientWatcher): () => void;
  /** Connects a client that is `idle`, which connects when it is used. What fails is told by {@link watch}. */
  connect(): void;
  /**
   * Opens a connection for messages, with all the options that the user's client has now. It lives
   * once: when it has ended, whoever needs one opens another.
   */
  openMessages(listener: MessageListener): MessageConnection;
  /**
   * What a person can do about a client that stays with a server that takes no writes any more; nothing
   * where the client looks after that.
   */
  readonly readOnlyRemedy: string | undefined;
  /** Whether {@link Primary.open} has connections that live once, on which replicas can be waited for. */
  readonly canWait: boolean;
  /** In a cluster: the primary that has a slot, as far as the client knows; else the same one always. */
  primaryOf(slot: number): string;
  /** The servers that have locks: one, or the masters of a cluster. */
  primaries(): Promise<readonly Primary[]>;
  /** In a cluster: the address of a primary, from the one that the cluster itself tells (`MOVED`). */
  addressOf(told: string): string;
}

/**
 * `idle` until it is used, `away` between a lost connection and the next; `closed` for good, or until
 * the user connects it.
 */
export type ClientState = 'idle' | 'opening' | 'ready' | 'away' | 'closed';

/** Told what becomes of a client's connection. */
export interface ClientWatcher {
  readonly away?: () => void;
  readonly ready?: () => void;
  readonly closed?: () => void;
  /** One server of a cluster has gone. */
  readonly primaryGone?: () => void;
}

/** Told by a connection for messages. Nothing is told after `ended`. */
export interface MessageListener {
  /** It can be listened on. Once. */
  readonly opened: () => void;
  readonly message: (text: string) => void;
  /** It is over, with the reason if one is known. Once, also where it has never been opened. */
  readonly ended: (error: Error | undefined) => void;
}

/** A connection for messages. */
export interface MessageConnection {
  /** Resolves when messages to these channels arrive; rejects with what the server says. */
  listen(channels: readonly string[]): Promise<void>;
  /** Resolves when the server has answered, on this very connection. */
  ping(): Promise<void>;
  close(): void;
}

/** A server that has locks. */
export interface Primary {
  /** In a cluster, unique and as the client knows it; empty for a single server. */
  readonly address: string;
  /** A section of the server's `INFO`, by the user's own connection. */
  info(section: string): Promise<string>;
  /** One step of `SCAN`: the next cursor, and the stored names. */
  scan(cursor: string, pattern: string, count: number): Promise<unknown>;
  /** Opens a connection for requests that keep it busy. What fails there is not tried again. */
  open(): WaitingConnection;
}

/** A connection for requests that keep it busy. It lives once, until it is `closed`. */
export interface WaitingConnection {
  readonly state: ClientState;
  /** Runs a script by its text, as {@link ClientPort.eval}. */
  eval(source: string, keys: number, words: string[]): Promise<unknown>;
  /** Resolves with the number of replicas that have all that was written on this connection. */
  wait(replicas: number, ms: number): Promise<number>;
  close(): void;
}
