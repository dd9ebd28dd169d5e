import type { Socket } from 'node:net';
import { ReplyReader, setOpaque, type Reply } from './frames.ts';
import { connectionTo, socketOf, type MemjsConnection, type MemjsServer } from './memjs.ts';

/** A server that owes an answer for so long, in ms, may be gone without a word. */
const SILENCE = 1_000;

/** After so long, in ms, no answer is expected any more. */
const LOST = 30_000;

/** So many answered requests are kept before their list is cut. */
const LONGEST_PAST = 1_024;

const LARGEST_OPAQUE = 0xffff_ffff;

/** How a server refuses credentials, or the lack of them; memjs gives no code. */
const REFUSED = /authentication failed/i;

/** A request under way. */
export interface Exchange {
  readonly opcode: number;
  answered(reply: Reply): void;
  /** It was not executed, or will never be answered. */
  failed(error: Error): void;
  /** The connection broke: it may have been executed. */
  broken(error: Error): void;
}

/** Who makes connections. */
export interface ConnectionOwner {
  /** The first answer: the server is there. */
  onAlive(connection: Connection): void;
  /** No answer for {@link SILENCE} ms: other requests had better take another connection. */
  onSilent(connection: Connection): void;
  onEnd(connection: Connection): void;
}

/** The server wants credentials, or others. */
export class RefusedError extends Error {}

/**
 * One connection to one server, of our own. memjs makes and authenticates it, and has no part in what
 * goes over it then: it forgets whom it owes an answer when the server closes the connection, puts the
 * rest of a reply that was cut short before the next one, fails all requests when one takes long, sends
 * them again without being asked, and counts them with 31 bits.
 *
 * Whatever goes wrong ends a connection for good, and everything that is under way on it. Silence alone
 * does not: the server answers in order, so what it answers late is still worth knowing.
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
  /** To be sent at the end of this turn of the loop, or when the connection is ready. */
  private outbox: Buffer[] = [];
  /** What is under way, in the order of the answers to come, from `first` on. */
  private exchanges: Exchange[] = [];
  private first = 0;
  private lastSent = 0;
  private lastAnswered = 0;
  /** Since when the server owes an answer. */
  private owedSince = 0;
  private watch: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly origin: MemjsServer,
    private readonly owner: ConnectionOwner,
  ) {
    this.server = connectionTo(origin);
    this.server.onError(0, (error) => this.fail(error));
    this.server.sock(false, (socket) => this.begin(socket));
    this.adopt(socketOf(this.server));
  }

  /** @param frame a request but for its opaque field */
  send(frame: Buffer, exchange: Exchange): void {
    this.lastSent = this.lastSent === LARGEST_OPAQUE ? 1 : this.lastSent + 1;
    setOpaque(frame, this.lastSent);
    if (!this.owes) {
      this.owedSince = performance.now();
      this.watch ??= this.lookIn(SILENCE);
    }
    this.exchanges.push(exchange);
    if (this.outbox.push(frame) === 1 && this.ready) process.nextTick(() => this.flush());
  }

  /** Takes no new requests: ends when the last one under way has been answered. */
  retire(): void {
    this.retired = true;
    if (!this.owes) this.end(new Error('It is not needed any more.'));
  }

  /** @param broken whether what is under way may still be settled on another connection */
  end(error: Error, broken = false): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.watch);
    this.owner.onEnd(this);
    if (this.socket === undefined) this.server.close();
    else this.socket.destroy();
    const { exchanges, first } = this;
    this.exchanges = [];
    this.outbox = [];
    for (const exchange of exchanges.slice(first)) {
      if (broken) exchange.broken(error);
      else exchange.failed(error);
    }
  }

  private get owes(): boolean {
    return this.first < this.exchanges.length;
  }

  private adopt(socket: Socket | undefined): void {
    if (socket === undefined || this.socket !== undefined) return;
    this.socket = socket;
    socket.setNoDelay(true);
    // Who waits for an answer keeps the process alive; a connection does not.
    socket.unref();
    // Also when the server closes it in order, of which memjs tells nobody.
    socket.once('close', () => this.fail(new Error('The connection was closed.')));
  }

  /** The connection is made and authenticated, and from here on ours. */
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
    if (this.outbox.length > 0) this.flush();
  }

  private flush(): void {
    const { outbox } = this;
    if (this.ended || outbox.length === 0) return;
    this.outbox = [];
    this.socket?.write(outbox.length === 1 ? (outbox[0] as Buffer) : Buffer.concat(outbox));
  }

  private receive(reply: Reply): void {
    if (this.ended) return;
    const exchange = this.exchanges[this.first];
    this.lastAnswered = this.lastAnswered === LARGEST_OPAQUE ? 1 : this.lastAnswered + 1;
    if (exchange?.opcode !== reply.opcode || reply.opaque !== this.lastAnswered) {
      throw new Error('The server answered what it was not asked.');
    }
    this.first += 1;
    if (!this.owes || this.first === LONGEST_PAST) {
      this.exchanges.splice(0, this.first);
      this.first = 0;
    }
    this.owedSince = performance.now();
    if (!this.alive) {
      this.alive = true;
      this.owner.onAlive(this);
    }
    exchange.answered(reply);
    if (this.retired) this.retire();
  }

  private fail(cause: unknown): void {
    // Some errors of memjs are strings.
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (REFUSED.test(reason)) this.end(new RefusedError(this.message(reason), { cause }));
    else this.end(new Error(this.message(reason), { cause }), this.ready);
  }

  private message(reason: string): string {
    return `memcached ${this.origin.host}:${this.origin.port}: ${reason}`;
  }

  private lookIn(ms: number): ReturnType<typeof setTimeout> {
    // An answer may have come while the event loop was blocked: it is read before the look.
    return setTimeout(() => setImmediate(() => this.look()), ms).unref();
  }

  private look(): void {
    this.watch = undefined;
    if (this.ended || !this.owes) return;
    const silence = performance.now() - this.owedSince;
    if (silence >= LOST) {
      this.end(new Error(this.message('The server does not answer.')));
      return;
    }
    if (silence >= SILENCE) this.owner.onSilent(this);
    this.watch = this.lookIn(silence >= SILENCE ? SILENCE : SILENCE - silence);
  }
}
