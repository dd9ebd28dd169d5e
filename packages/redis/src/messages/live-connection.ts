import type { ClientPort, MessageConnection } from '../connection/port.ts';

/** Between two attempts to connect, in ms: doubled each time, with jitter, up to the second. */
const FIRST_BACKOFF = 50;
const LONGEST_BACKOFF = 1_000;
/** After the server has refused a channel: rights are given by people. */
const REFUSED_BACKOFF = 30_000;
const REFUSAL = /\bNOPERM\b|unknown command/i;
/** An attempt that takes longer, in ms, is given up. */
const ATTEMPT_TIMEOUT = 3_000;
/** A connection is asked for a sign of life so often, in ms, and has as long for its answer. */
const PING_EVERY = 2_000;
/** Without messages for so long, in ms, while the user's client is connected, an operator is told. */
const WARN_AFTER = 3_000;

/** Told by a {@link LiveConnection}. */
interface LiveListener {
  /** Messages to all channels arrive from now on; before they did not. `isNew` on a new connection. */
  readonly live: (isNew: boolean) => void;
  readonly message: (text: string) => void;
  /** Messages do not arrive, and it is not for a short time. */
  readonly dead: (reason: string) => void;
}

/**
 * A connection for messages that is replaced whenever it has ended, does not answer, or cannot be made.
 * Each is a new copy of the user's client, so it has the credentials that the client has by then.
 */
export class LiveConnection {
  /** Whether messages to all channels arrive, as far as is known. */
  live = false;
  private readonly channels = new Set<string>();
  /** Open, or being opened. */
  private connection: MessageConnection | undefined;
  private opened = false;
  private wanted = false;
  private timer: NodeJS.Timeout | undefined;
  private backoff = FIRST_BACKOFF;
  private downSince = 0;

  constructor(
    private readonly port: ClientPort,
    private readonly listener: LiveListener,
  ) {}

  /** Opens it, unless it is open or on its way. */
  open(): void {
    if (this.wanted || this.port.state === 'closed') return;
    this.wanted = true;
    this.downSince = performance.now();
    this.attempt();
  }

  close(): void {
    this.wanted = false;
    this.backoff = FIRST_BACKOFF;
    this.drop();
  }

  /** Replaces it: what it leads to may not be what the client leads to any more. */
  renew(): void {
    if (!this.wanted) return;
    this.drop();
    this.attempt();
  }

  /**
   * Listens to one channel more, from now on and on every connection to come.
   *
   * @returns whether it is a new one
   */
  add(channel: string): boolean {
    if (this.channels.has(channel)) return false;
    this.channels.add(channel);
    const { connection } = this;
    if (connection !== undefined && this.opened) {
      this.live = false;
      this.listen(connection, [channel], false);
    }
    return true;
  }

  /** Forgets all channels. Only while it is closed. */
  clear(): void {
    this.channels.clear();
  }

  private attempt(): void {
    let current: MessageConnection | undefined;
    const isCurrent = (): boolean => current !== undefined && this.connection === current;
    this.after(ATTEMPT_TIMEOUT, () => this.failed('The server does not answer.'));
    try {
      current = this.port.openMessages({
        opened: () => {
          if (!isCurrent()) return;
          this.opened = true;
          this.listen(current as MessageConnection, [...this.channels], true);
        },
        message: (text) => {
          if (isCurrent()) this.listener.message(text);
        },
        ended: (error) => {
          if (isCurrent()) this.failed(error?.message ?? 'The connection has ended.');
        },
      });
      this.connection = current;
    } catch (error) {
      this.failed(String(error));
    }
  }

  private listen(connection: MessageConnection, channels: readonly string[], isNew: boolean): void {
    const asked = this.channels.size;
    connection.listen(channels).then(
      () => {
        // What has been added meanwhile is being asked for.
        if (this.connection !== connection || asked !== this.channels.size) return;
        this.live = true;
        this.backoff = FIRST_BACKOFF;
        this.after(PING_EVERY, () => this.ping(connection));
        this.listener.live(isNew);
      },
      (error: unknown) => {
        if (this.connection !== connection) return;
        if (REFUSAL.test(String(error))) {
          this.backoff = REFUSED_BACKOFF;
          this.downSince = -Infinity;
        }
        this.failed(String(error));
      },
    );
  }

  private ping(connection: MessageConnection): void {
    // Not every client tells when its user closes it. Without it, this would keep the process alive.
    if (this.port.state === 'closed') {
      this.close();
      return;
    }
    this.after(PING_EVERY, () => this.failed('The server does not answer.'));
    connection.ping().then(
      () => {
        if (this.connection === connection) this.after(PING_EVERY, () => this.ping(connection));
      },
      (error: unknown) => {
        if (this.connection === connection) this.failed(String(error));
      },
    );
  }

  private failed(reason: string): void {
    if (this.live) this.downSince = performance.now();
    this.drop();
    if (this.port.state === 'closed') {
      this.wanted = false;
      return;
    }
    // While the user's client is not connected either, that is the news, and the client tells it.
    if (this.port.state !== 'ready') this.downSince = performance.now();
    else if (performance.now() - this.downSince >= WARN_AFTER) this.listener.dead(reason);
    const { backoff } = this;
    this.backoff = Math.max(backoff, Math.min(backoff * 2, LONGEST_BACKOFF));
    this.after(backoff * (0.5 + Math.random() / 2), () => this.attempt());
  }

  private drop(): void {
    const { connection } = this;
    this.connection = undefined;
    this.opened = false;
    this.live = false;
    clearTimeout(this.timer);
    connection?.close();
  }

  /** One thing is due at a time. */
  private after(ms: number, callback: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(callback, ms);
    // Whoever waits keeps the process alive, not this.
    this.timer.unref();
  }
}
