import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Lock, Locker } from '@holdfast/core';
import { holdBack } from './hold-back.ts';

/** Somebody who must know what becomes of a response. */
export interface Follower {
  /**
   * Its handler ended the response.
   *
   * @returns what the end must not reach the client before; never rejects
   */
  ended(): Promise<unknown> | undefined;
  /** Its client went away. The handler may still end it. */
  gone(): void;
}

const LIFE = Symbol('holdfast.life');

/** A response whose life is followed. */
type Followed = ServerResponse & { [LIFE]?: ResponseLife };

/** How a response is ended and destroyed, as properties that can be replaced. */
interface Ends {
  end: (this: ServerResponse, ...args: unknown[]) => ServerResponse;
  destroy: (this: ServerResponse, error?: Error) => ServerResponse;
}

/**
 * The life of a response: open, until its handler has ended it (`res.end`, by whatever means) or its
 * client is gone. No event of Node's tells that the handler is done: `finish` waits for a client that
 * does not read, and never comes for one that left; `close` comes while the handler still runs.
 */
export class ResponseLife {
  state: 'open' | 'ended' | 'gone' = 'open';
  /** What its request holds. */
  readonly locks: { readonly locker: Locker; readonly lock: Lock }[] = [];
  private followers: readonly Follower[] = [];
  /** The outermost end, and the destroy that was there before. */
  end: Ends['end'];
  readonly destroy: Ends['destroy'];

  /** Of a response, from the first call on. */
  static of(req: IncomingMessage, res: ServerResponse): ResponseLife {
    return (res as Followed)[LIFE] ?? new ResponseLife(req, res);
  }

  private constructor(
    req: IncomingMessage,
    private readonly res: Followed,
  ) {
    const { end, destroy } = res as Ends;
    res[LIFE] = this;
    this.end = this.ending(end);
    this.destroy = destroy;
    if (res.writableEnded) {
      this.state = 'ended';
    } else if (res.destroyed || req.socket?.destroyed) {
      this.state = 'gone';
    } else {
      Object.defineProperty(res, 'end', OUTERMOST_END);
      (res as Ends).destroy = destroyAndTell;
      res.on('close', closed);
      if (res.socket === null && req.socket !== undefined) watchPipelined(req.socket, res);
    }
  }

  follow(follower: Follower): void {
    this.followers = [...this.followers, follower];
  }

  unfollow(follower: Follower): void {
    this.followers = this.followers.filter((one) => one !== follower);
  }

  /** Calls `end`, as the end of the handler's work if it is the first. */
  ending(end: Ends['end']): Ends['end'] {
    return (...args) => {
      const { res, state } = this;
      if (state === 'ended') return end.apply(res, args);
      const letGo = this.followers.length > 0 ? holdBack(res) : () => {};
      this.state = 'ended';
      let result: ServerResponse;
      try {
        result = end.apply(res, args);
      } catch (error) {
        // A bad argument: the response is as it was.
        this.state = state;
        letGo();
        throw error;
      }
      const waits = this.tellEnded();
      if (waits.length === 0) letGo();
      else void Promise.all(waits).then(letGo);
      return result;
    };
  }

  destroyed(error?: Error): void {
    // With an error it may be a pipeline that its client has left, and not the handler.
    if (this.state === 'ended' || (this.state === 'gone' && error)) return;
    this.state = 'ended';
    void this.tellEnded();
  }

  /** The last lock that was taken is released first. */
  private tellEnded(): Promise<unknown>[] {
    const waits = this.followers.toReversed().map((follower) => follower.ended());
    return waits.filter((wait) => wait !== undefined);
  }

  gone(): void {
    if (this.state !== 'open') return;
    this.state = 'gone';
    for (const follower of this.followers) follower.gone();
  }
}

// These are the same functions for all responses, which so keep one shape: that is a matter of speed.

const OUTERMOST_END: PropertyDescriptor & ThisType<Followed> = {
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

/** A handler that destroys its response is done with it too; Node itself does not call this. */
function destroyAndTell(this: Followed, error?: Error): ServerResponse {
  this[LIFE]?.destroy.call(this, error);
  this[LIFE]?.destroyed(error);
  return this;
}

function closed(this: Followed): void {
  this[LIFE]?.gone();
}

/** By socket: those responses that have not got it yet. */
const pipelined = new WeakMap<Socket, Set<Followed>>();

/** Node tells a response that waits for its turn on a socket nothing of the socket's end. */
function watchPipelined(socket: Socket, res: Followed): void {
  const waiting = pipelined.get(socket) ?? new Set();
  if (!pipelined.has(socket)) {
    pipelined.set(socket, waiting);
    socket.once('close', () => waiting.forEach((one) => one[LIFE]?.gone()));
  }
  waiting.add(res);
  res.once('socket', () => waiting.delete(res));
}
