import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { runAsTimeOut } from './request-flow.ts';

type Done = (error?: Error | null) => void;

/**
 * What every stream that can be written to gets from its implementer, and calls itself: unlike the ways
 * in which Node's HTTP server reaches a socket, this is the same in all versions of Node.
 */
interface Sink {
  _write: (this: Duplex, chunk: unknown, encoding: string, done: Done) => void;
  _writev?: ((this: Duplex, chunks: unknown[], done: Done) => void) | null | undefined;
  _destroy: (this: Duplex, error: Error | null, done: Done) => void;
  emit: (this: Duplex, event: string | symbol, ...args: unknown[]) => boolean;
}

/** Somebody who must know when a connection ends. */
export interface ConnectionListener {
  /** Code of this process is destroying the connection, or Node is: this is called on its stack. */
  destroying(error: Error | null): void;
  /** The connection is gone. */
  closed(): void;
}

/** A write that was begun and has not reached the network yet. A stream makes one at a time. */
interface DelayedWrite {
  readonly run: (done: Done) => void;
  readonly done: Done;
}

const CONNECTION = Symbol('holdfast.connection');

/** The connection of a response: delays what a response sends, and tells when the connection ends. */
export class Connection {
  private readonly listeners = new Set<ConnectionListener>();
  /** Responses that have ended and whose last bytes must wait. */
  private readonly delayed = new Set<ServerResponse>();
  private write: DelayedWrite | undefined;

  /** Of a socket, from the first call on; none for what is not a stream, as the socket of a mock. */
  static of(socket: Duplex | null | undefined): Connection | undefined {
    if (socket === null || socket === undefined) return undefined;
    const known = (socket as { [CONNECTION]?: Connection })[CONNECTION];
    if (known !== undefined) return known;
    const { _write: write, _destroy: destroy } = socket as unknown as Sink;
    if (typeof write !== 'function' || typeof destroy !== 'function') return undefined;
    return new Connection(socket);
  }

  private constructor(private readonly socket: Duplex) {
    Object.defineProperty(socket, CONNECTION, { value: this });
    const sink = socket as unknown as Sink;
    const { _write: write, _writev: writev, _destroy: destroy, emit } = sink;
    const replaced: Sink = {
      _write: (chunk, encoding, done) =>
        this.pass((then) => write.call(socket, chunk, encoding, then), done),
      _destroy: (error, done) => {
        this.giveUpDelay(error);
        for (const listener of this.listeners) listener.destroying(error);
        destroy.call(socket, error, done);
      },
      emit: (event, ...args) => {
        const run = (): boolean => emit.call(socket, event, ...args);
        // Who answers because of a time-out does not answer for the handler, wherever that was set.
        return event === 'timeout' ? runAsTimeOut(socket, run) : run();
      },
    };
    const several: Partial<Sink> = {
      _writev: (chunks, done) => this.pass((then) => writev?.call(socket, chunks, then), done),
    };
    // A stream without it gets one chunk at a time.
    Object.assign(socket, replaced, typeof writev === 'function' && several);
    // A client that closes its side makes Node close ours: the answer goes first.
    socket.once('end', () => this.sendAll());
    socket.once('close', () => {
      for (const listener of this.listeners) listener.closed();
    });
  }

  get isDestroyed(): boolean {
    return this.socket.destroyed;
  }

  /** Whether the connection is being closed in good order, after what was written. */
  get isEnding(): boolean {
    return this.socket.writableEnded;
  }

  listen(listener: ConnectionListener): void {
    this.listeners.add(listener);
  }

  unlisten(listener: ConnectionListener): void {
    this.listeners.delete(listener);
  }

  /**
   * Keeps what a response sends from its client, from its turn on this connection until the returned
   * function is called. To all code the response is what it would be on a slow network.
   */
  delay(res: ServerResponse): () => void {
    this.delayed.add(res);
    return () => {
      if (this.delayed.delete(res) && !this.mustWait()) this.send();
    };
  }

  /** Runs a write of the stream's, or keeps it while a response must wait. */
  private pass(run: DelayedWrite['run'], done: Done): void {
    if (this.mustWait()) this.write = { run, done };
    else run(done);
  }

  /** Whether it is the turn of a response that must wait. */
  private mustWait(): boolean {
    for (const res of this.delayed) if (res.socket === this.socket) return true;
    return false;
  }

  private sendAll(): void {
    this.delayed.clear();
    this.send();
  }

  private send(): void {
    const { write } = this;
    this.write = undefined;
    write?.run(write.done);
  }

  /**
   * To a server that closes, a connection whose response has ended is idle, and it destroys it: it takes
   * the bytes to be on their way. With an error there is nobody to send them to.
   */
  private giveUpDelay(error: Error | null): void {
    const { write } = this;
    this.write = undefined;
    this.delayed.clear();
    if (write === undefined) return;
    const done: Done = (failure) => void Promise.resolve().then(() => write.done(failure));
    if (error === null || error === undefined) write.run(done);
    else done(error);
  }
}
