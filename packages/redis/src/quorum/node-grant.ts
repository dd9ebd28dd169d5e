import type {
  NodeAcquireReply,
  NodeAcquireRequest,
  QuorumClock,
  QuorumNode,
  QuorumTimer,
} from './node.ts';

/** Between two attempts to end a grant in the background, in ms, doubled each time. */
const FIRST_RETRY = 50;
const LONGEST_RETRY = 1_000;

/** What a grant of one server needs to know of its acquisition. */
export interface NodeGrantTiming {
  readonly key: string;
  readonly id: string;
  /** Until when a released key is kept busy, if at all. */
  readonly keepUntil: number | undefined;
  /** Grows from request to request, also when an acquisition was forgotten and is asked for again. */
  nextAttempt(): number;
  /** One server holds nothing of it any more. */
  cleared(): void;
}

/**
 * What one server may have granted to one acquisition. A server that was asked may have granted it,
 * whatever became of the answer, until it refuses or confirms the end.
 */
export class NodeGrant {
  /** Whether a release has ended the grant. */
  freed = false;
  /** When the server has let go of it by itself, at the latest. */
  until = 0;
  /** How many requests to acquire have no answer yet, and when all will. */
  private unanswered = 0;
  /** The number of the last request for it. */
  private attempt: number | undefined;
  private allAnswered: Promise<void> | undefined;
  /** Whether its end was asked for and is not confirmed. */
  private owed = false;
  private ending: Promise<boolean> | undefined;
  private retry = FIRST_RETRY;
  private timer: QuorumTimer | undefined;

  /** @param mayHold whether the server may have granted it, for all that is known */
  constructor(
    private readonly node: QuorumNode,
    private readonly clock: QuorumClock,
    private readonly terms: NodeGrantTiming,
    public mayHold: boolean,
  ) {}

  /**
   * Whether what the server has of it stays until we end it. If not, it is the grant of a request that came
   * late, or its end is under way.
   */
  get stands(): boolean {
    return this.mayHold && !this.owed;
  }

  /** Whether nothing is under way, and nothing is held by now. */
  isIdle(now: number): boolean {
    const quiet = this.unanswered === 0 && this.ending === undefined;
    return quiet && (!this.mayHold || this.until <= now);
  }

  /**
   * Asks the server, after it has confirmed the end of what it granted before.
   *
   * @param wanted whether that is still of use, when it takes time
   */
  async ask(request: NodeAcquireRequest, wanted: () => boolean): Promise<NodeAcquireReply> {
    await this.settled();
    if (!wanted()) throw new Error('The acquisition was abandoned before the server was asked.');
    if (this.owed) throw new Error('The server has not confirmed the end of an earlier attempt.');
    const problem = this.node.problem('acquire');
    if (problem !== undefined) throw problem;
    this.mayHold = true;
    this.freed = false;
    this.keep(request.ttl);
    const attempt = this.terms.nextAttempt();
    this.attempt = attempt;
    const asked = this.node.acquire({ ...request, attempt });
    const answer = await this.track(asked, request.ttl);
    if (!answer.granted && this.unanswered === 0 && !this.owed) {
      this.clear();
      this.terms.cleared();
    }
    return answer;
  }

  /** Takes back what the server has lost or never had, while a majority holds. */
  heal(request: NodeAcquireRequest, wanted: () => boolean): void {
    if (this.unanswered > 0 || this.owed) return;
    this.ask({ ...request, onlyFree: true }, wanted).catch(() => {});
  }

  /** The server keeps it for `ttl` from now, if it heard of it. */
  keep(ttl: number): void {
    this.until = Math.max(this.until, this.clock.now() + ttl);
  }

  /** The grant has been ended by another request. */
  replaced(): void {
    this.freed = true;
    this.clear();
  }

  /**
   * Ends the grant, and goes on in the background if that fails.
   *
   * @returns whether it was there
   */
  end(): Promise<boolean> {
    if (!this.mayHold) return Promise.resolve(this.freed);
    this.owed = true;
    this.cancelTimer();
    const { ending } = this;
    if (ending !== undefined) return ending;
    const attempt = this.endOnce();
    this.ending = attempt;
    const over = (): void => {
      this.ending = undefined;
      if (this.owed) this.tryLater();
      else this.terms.cleared();
    };
    attempt.then(over, over);
    return attempt;
  }

  /** The server is back. */
  hurry(): void {
    if (this.timer === undefined) return;
    this.retry = FIRST_RETRY;
    this.end().catch(() => {});
  }

  /** Gives up what is not under way. */
  rest(): void {
    this.cancelTimer();
  }

  /** An end that is under way has been confirmed, or has failed. */
  private async settled(): Promise<void> {
    while (this.ending !== undefined) await this.ending.catch(() => {});
  }

  private async endOnce(): Promise<boolean> {
    for (;;) {
      const { unanswered, allAnswered } = this;
      const { key, id, keepUntil } = this.terms;
      const keepFor = keepUntil === undefined ? undefined : keepUntil - this.clock.now();
      const freed = await this.node.release(
        key,
        id,
        keepFor === undefined ? undefined : Math.max(1, keepFor),
        this.attempt,
      );
      // What is not there may still come, from a request that has no answer yet.
      if (freed || unanswered === 0) {
        this.freed ||= freed;
        this.clear();
        return freed;
      }
      await allAnswered;
    }
  }

  private tryLater(): void {
    const left = this.until - this.clock.now();
    if (left <= 0) {
      this.clear();
      this.terms.cleared();
      return;
    }
    const delay = Math.min(this.retry * (0.5 + this.clock.random() / 2), left);
    this.retry = Math.min(this.retry * 2, LONGEST_RETRY);
    this.timer = this.clock.setTimeout(() => {
      this.timer = undefined;
      this.end().catch(() => {});
    }, delay);
    this.timer.unref?.();
  }

  private cancelTimer(): void {
    if (this.timer !== undefined) this.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private clear(): void {
    this.mayHold = false;
    this.owed = false;
    this.retry = FIRST_RETRY;
    this.cancelTimer();
  }

  private track(reply: Promise<NodeAcquireReply>, ttl: number): Promise<NodeAcquireReply> {
    const answered = (): void => {
      this.unanswered -= 1;
      // It may have been executed any time until now.
      this.keep(ttl);
    };
    this.unanswered += 1;
    const before = this.allAnswered;
    this.allAnswered = reply.then(answered, answered).then(() => before);
    return reply;
  }
}
