import type { Socket } from 'node:net';
import {
  CREDENTIALS_REFUSED,
  NOOP,
  NotBinaryError,
  ReplyReader,
  requestFrame,
  setOpaque,
  type Reply,
} from './frames.ts';
import { connectionTo, socketOf, type MemjsConnection, type MemjsServer } from './memjs.ts';

/** A server that has not answered for this many ms may be gone. */
const SILENCE = 1_000;

/** After this many ms without an answer, none is expected any more. */
const LOST = 30_000;

/** How many answered requests may pile up in the list before they are cut off. */
const MAX_ANSWERED = 1_024;

const LARGEST_OPAQUE = 0xffff_ffff;

/** How memjs reports refused credentials; it gives no code. */
const REFUSED = /authentication failed/i;
const REFUSAL = 'Authentication failed: the server wants a user name and a password';

/** What memcached says, as text on any protocol, when it has reached its limit of connections. */
const TOO_MANY_CONNECTIONS = /too many open connections/i;

/**
 * The first request on every connection. A server of a text protocol (Redis, or memcached with
 * `-B ascii`) waits for the end of a line, which other requests may never hold; the opcode of a no-op
 * is the line feed itself, so that such a server says at once that it does not understand.
 */
const GREETING = requestFrame(NOOP, '', 0n);
setOpaque(GREETING, 0);

/** A request that was sent and has not been answered. */
export interface PendingRequest {
  readonly opcode: number;
  answered(reply: Reply): void;
  /** It was not executed, or will never be answered. */
  failed(error: Error): void;
  /** The connection broke: it may have been executed. */
  broken(error: Error): void;
}

/** What a connection reports to whoever opened it. */
export interface ConnectionOwner {
  /** The server has answered for the first time. */
  onAlive(connection: Connection): void;
  /** No answer for {@link SILENCE} ms: new requests should use another connection. */
  onSilent(connection: Connection): void;
  onEnd(connection: Connection): void;
}

/** Trying again cannot help: the credentials are refused, or this is no memcached that we can use. */
export class UnusableServerError extends Error {}

/**
 * One connection of the store's own to one server. memjs opens and authenticates it; after that the
 * store reads and writes it alone, because memjs forgets pending requests when the server closes the
 * connection, prepends the rest of a truncated reply to the next one, fails all requests when one is
 * slow, sends them again unasked, and numbers them with 31 bits.
 *
 * Any error ends a connection for good, together with every request that is pending on it. Silence
 * alone does not: the server answers in order, so a late answer is still worth knowing.
 */
export class Connection {
  /** Whether the server has answered on it. */
  alive = false;
  private readonly server: MemjsConnection;
  private readonly replies = new ReplyReader();
  private socket: Socket | undefined;
  private ready = false;
  private ended = false;
  private retired = false;
  /** Frames to be sent at the end of this turn of the event loop, or when the connection is ready. */
  private unsent: Buffer[] = [];
  /** Requests in the order of their answers; those before `first` are answered. */
  private pending: PendingRequest[] = [];
  private first = 0;
  private lastSent = 0;
  private lastAnswered = 0;
  /** Since when an answer is due, by the monotonic clock. */
  private owedSince = 0;
  private watch: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly origin: MemjsServer,
    private readonly owner: ConnectionOwner,
    /** Ends by itself, some time after it was last asked for something: nobody else will end it. */
    readonly passing: boolean,
  ) {
    this.server = connectionTo(origin);
    this.server.onError(0, (error) => this.fail(error));
    this.server.sock(false, (socket) => this.begin(socket));
    this.adopt(socketOf(this.server));
  }

  /** @param frame a request but for its opaque field */
  send(frame: Buffer, request: PendingRequest): void {
    this.lastSent = this.lastSent === LARGEST_OPAQUE ? 1 : this.lastSent + 1;
    setOpaque(frame, this.lastSent);
    if (!this.owes) {
      this.owedSince = performance.now();
      this.watch ??= this.lookIn(SILENCE);
    }
    this.pending.push(request);
    // Not `process.nextTick`, which the fake timers of test runners replace.
    if (this.unsent.push(frame) === 1 && this.ready)
      void Promise.resolve().then(() => this.flush());
  }

  /** Takes no new requests and ends when the last pending one has been answered. */
  retire(): void {
    this.retired = true;
    if (!this.owes) this.end(new Error('The connection was replaced by a new one.'));
  }

  /** @param broken whether pending requests may have been executed, which another connection can tell */
  end(error: Error, broken = false): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.watch);
    this.owner.onEnd(this);
    if (this.socket === undefined) this.server.close();
    else this.socket.destroy();
    const { pending, first } = this;
    this.pending = [];
    this.unsent = [];
    for (const request of pending.slice(first)) {
      if (broken) request.broken(error);
      else request.failed(error);
    }
  }

  private get owes(): boolean {
    return this.first < this.pending.length;
  }

  private adopt(socket: Socket | undefined): void {
    if (socket === undefined || this.socket !== undefined) return;
    this.socket = socket;
    socket.setNoDelay(true);
    // A pending acquisition keeps the process alive by itself; a connection must not.
    socket.unref();
    // Also when the server closes it in an orderly way, which memjs does not report.
    socket.once('close', () => this.fail(new Error('The connection was closed.')));
  }

  /** Called when the connection is open and authenticated: from here on the store reads it alone. */
  private begin(socket: Socket): void {
    this.adopt(socket);
    this.ready = true;
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => {
      try {
        this.replies.read(chunk, (reply) => this.receive(reply));
      } catch (error) {
        this.fail(error);
      }
    });
    this.unsent.unshift(GREETING);
    this.flush();
  }

  private flush(): void {
    const { unsent } = this;
    if (this.ended || unsent.length === 0) return;
    this.unsent = [];
    this.socket?.write(unsent.length === 1 ? (unsent[0] as Buffer) : Buffer.concat(unsent));
  }

  private receive(reply: Reply): void {
    if (this.ended) return;
    if (reply.opcode === NOOP && reply.opaque === 0) {
      if (reply.status === CREDENTIALS_REFUSED) throw new Error(REFUSAL);
      return;
    }
    const request = this.pending[this.first];
    this.lastAnswered = this.lastAnswered === LARGEST_OPAQUE ? 1 : this.lastAnswered + 1;
    if (request?.opcode !== reply.opcode || reply.opaque !== this.lastAnswered) {
      throw new Error('the server sent a reply to a request that was not made');
    }
    this.first += 1;
    if (!this.owes || this.first === MAX_ANSWERED) {
      this.pending.splice(0, this.first);
      this.first = 0;
    }
    this.owedSince = performance.now();
    if (!this.alive) {
      this.alive = true;
      this.owner.onAlive(this);
    }
    request.answered(reply);
    if (this.retired) this.retire();
  }

  private fail(cause: unknown): void {
    // Some errors of memjs are strings.
    const reason = cause instanceof Error ? cause.message : String(cause);
    const isPermanent =
      REFUSED.test(reason) ||
      (cause instanceof NotBinaryError && !TOO_MANY_CONNECTIONS.test(cause.said));
    if (isPermanent) this.end(new UnusableServerError(this.message(reason), { cause }));
    else this.end(new Error(this.message(reason), { cause }), this.ready);
  }

  private message(reason: string): string {
    return `memcached ${this.origin.host}:${this.origin.port}: ${reason.replace(/\.$/, '')}.`;
  }

  private lookIn(ms: number): ReturnType<typeof setTimeout> {
    // An answer may have come while the event loop was blocked: let it be read first.
    return setTimeout(() => setImmediate(() => this.look()), ms).unref();
  }

  private look(): void {
    this.watch = undefined;
    if (this.ended) return;
    if (!this.owes) {
      if (this.passing) this.end(new Error('No locker uses the memcached store.'));
      return;
    }
    const silence = performance.now() - this.owedSince;
    if (silence >= LOST) {
      this.end(new Error(this.message(`no answer for ${LOST} ms`)));
      return;
    }
    if (silence >= SILENCE) this.owner.onSilent(this);
    this.watch = this.lookIn(silence >= SILENCE ? SILENCE : SILENCE - silence);
  }
}
