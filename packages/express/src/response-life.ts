import { ServerResponse, type IncomingMessage } from 'node:http';
import { runWithLock, type Lock, type Locker } from '@holdfast/core';
import { Connection, type ConnectionListener } from './connection.ts';
import { isWorkUnder, runAsTimeOut } from './request-flow.ts';

/** Somebody who must know what becomes of a response. */
export interface ResponseListener {
  /**
   * The running code ends the response, or tries it again later.
   *
   * @returns what the end must not reach the client before; never rejects
   */
  ended(): Promise<unknown> | undefined;
  /**
   * The running code destroys the connection, or has called `end` or `destroy` of a response that had
   * ended before.
   */
  endedAgain(): void;
  /** Its client went away. The handler may still end it. */
  gone(): void;
}

/** A route that holds a lock for the request. */
interface HeldForRequest {
  readonly locker: Locker;
  readonly lock: Lock;
}

const LIFE = Symbol('holdfast.life');

/** A request or response that is followed. */
type Followed<T> = T & { [LIFE]?: ResponseLife };

type Emit = (this: IncomingMessage, event: string | symbol, ...args: unknown[]) => boolean;

/** What is replaced of a response. */
interface Ends {
  end: (this: ServerResponse, ...args: unknown[]) => ServerResponse;
  destroy: (this: ServerResponse, error?: Error) => ServerResponse;
}

/**
 * The life of a response: open, until it is ended (`res.end`, by whatever means) or its client is gone. No
 * event of Node's tells that the handler is done: `finish` waits for a client that does not read, and
 * never comes for one that left; `close` comes while the handler still runs.
 */
export class ResponseLife implements ConnectionListener {
  state: 'open' | 'ended' | 'gone' = 'open';
  /** What its request holds. */
  readonly locks: HeldForRequest[] = [];
  private listeners: readonly ResponseListener[] = [];
  private readonly connection: Connection | undefined;
  /** The outermost end, and the methods that were there before, `emit` the request's. */
  end: Ends['end'];
  readonly destroy: Ends['destroy'];
  readonly emit: Emit;

  /** Of a response, from the first call on. */
  static of(req: IncomingMessage, res: ServerResponse): ResponseLife {
    return (res as Followed<ServerResponse>)[LIFE] ?? new ResponseLife(req, res);
  }

  private constructor(
    req: IncomingMessage,
    private readonly res: Followed<ServerResponse>,
  ) {
    const { end, destroy } = res as unknown as Ends;
    res[LIFE] = this;
    this.end = this.ending(end);
    this.destroy = destroy;
    this.emit = (req as unknown as { emit: Emit }).emit;
    // Others, as HTTP/2's, have no socket of their own to write to.
    this.connection = res instanceof ServerResponse ? Connection.of(req.socket) : undefined;
    if (res.writableEnded) {
      this.state = 'ended';
    } else if (res.destroyed || req.socket?.destroyed) {
      this.state = 'gone';
    } else {
      Object.defineProperty(res, 'end', OUTERMOST_END);
      (res as unknown as Ends).destroy = destroyAndTell;
      (req as Followed<IncomingMessage>)[LIFE] = this;
      (req as unknown as { emit: Emit }).emit = emitOfRequest;
      if (this.connection === undefined) res.on('close', () => this.closed());
    }
  }

  follow(listener: ResponseListener): void {
    this.listeners = [...this.listeners, listener];
    this.connection?.listen(this);
  }

  unfollow(listener: ResponseListener): void {
    this.listeners = this.listeners.filter((one) => one !== listener);
    if (this.listeners.length === 0) this.connection?.unlisten(this);
  }

  /** Calls `end`, and tells that the running code ended the response. */
  ending(end: Ends['end']): Ends['end'] {
    return (...args) => {
      const { res, state } = this;
      if (state === 'ended') {
        this.tellEndedAgain();
        return end.apply(res, args);
      }
      const letGo = this.listeners.length > 0 ? this.connection?.delay(res) : undefined;
      this.state = 'ended';
      let result: ServerResponse;
      try {
        result = end.apply(res, args);
      } catch (error) {
        // A bad argument: the response is as it was.
        this.state = state;
        letGo?.();
        throw error;
      }
      const waits = this.tellEnded();
      if (letGo !== undefined) {
        if (waits.length === 0) letGo();
        else void Promise.all(waits).then(letGo);
      }
      return result;
    };
  }

  /** The running code calls `destroy` of the response. */
  destroyed(error: Error | undefined, call: () => void): void {
    const { state } = this;
    // With an error it may be Node that clears a connection which is gone, or a pipeline that its client
    // has left, and not the handler.
    const isConsequence =
      error !== undefined && error !== null && (state === 'gone' || this.connection?.isDestroyed);
    call();
    if (isConsequence === true) {
      this.closed();
    } else if (state === 'ended') {
      this.tellEndedAgain();
    } else {
      this.state = 'ended';
      void this.tellEnded();
    }
  }

  destroying(error: Error | null): void {
    // With an error, or after an end in good order, it is Node that does it.
    if (error || this.connection?.isEnding === true) return;
    this.tellEndedAgain();
  }

  closed(): void {
    if (this.state !== 'open') return;
    this.state = 'gone';
    for (const listener of this.listeners) listener.gone();
  }

  /** The lock that was taken last is released first. */
  private tellEnded(): Promise<unknown>[] {
    const waits = this.listeners.toReversed().map((listener) => listener.ended());
    return waits.filter((wait) => wait !== undefined);
  }

  private tellEndedAgain(): void {
    for (const listener of this.listeners.toReversed()) listener.endedAgain();
  }
}

// These are the same functions for all responses, which so keep one shape: that is a matter of speed.

const OUTERMOST_END: PropertyDescriptor & ThisType<Followed<ServerResponse>> = {
  configurable: true,
  enumerable: true,
  get() {
    return this[LIFE]?.end;
  },
  // What is put around `end` after us, as compression does, may call what it found only when the
  // client has read all. The handler is done when it calls the outermost.
  set(outer: Ends['end']) {
    const life = this[LIFE];
    if (life !== undefined) life.end = life.ending(outer);
  },
};

/** A handler that destroys its response is done with it too. */
function destroyAndTell(this: Followed<ServerResponse>, error?: Error): ServerResponse {
  const life = this[LIFE];
  life?.destroyed(error, () => life.destroy.call(this, error));
  return this;
}

/** Body parsers call what comes next from an event of the request, and some in the context of its socket. */
function emitOfRequest(this: Followed<IncomingMessage>, ...args: Parameters<Emit>): boolean {
  const life = this[LIFE] as ResponseLife;
  const emit = (): boolean => life.emit.apply(this, args);
  // Who answers because of a time-out does not answer for the handler, wherever that was set.
  if (args[0] === 'timeout') return runAsTimeOut(this, emit);
  const lock = life.locks.at(-1)?.lock;
  return lock?.state !== 'held' || isWorkUnder(lock) ? emit() : runWithLock(lock, emit);
}
