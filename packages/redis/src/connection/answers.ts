import type { Watchers } from './watchers.ts';

/** While some requests fail, the others tell of a connection once in so many ms at most. */
const TELL_EVERY = 1_000;

/**
 * What a server answers begins with a code. All else is of the client, which has no answer. A server
 * without a script that it has had is another one, or has forgotten more than that.
 */
const SERVER_ERROR = /^(?!NOSCRIPT)[A-Z]{2,}\b/;

/** Tells of a connection that was lost by what comes of requests, where a client has no event for it. */
export class Answers {
  private away = false;
  private toldAt = -Infinity;

  constructor(private readonly watchers: Watchers) {}

  of(answer: Promise<unknown>): Promise<unknown> {
    return answer.then(
      (reply) => {
        if (this.away) this.back();
        return reply;
      },
      (error: unknown) => {
        if (!(error instanceof Error && SERVER_ERROR.test(error.message))) this.lost();
        throw error;
      },
    );
  }

  /** There may be another server, or one that has forgotten. */
  lost(): void {
    this.away = true;
    this.watchers.tell('away');
  }

  private back(): void {
    const now = performance.now();
    if (now - this.toldAt < TELL_EVERY) return;
    this.away = false;
    this.toldAt = now;
    this.watchers.tell('ready');
  }
}
