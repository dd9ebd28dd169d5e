/**
 * Collects the answers about many locks, which may come from several servers. As soon as one has
 * answered, another that does not is waited for only so long: it costs its own locks, and no others.
 */
export class GroupWait<R> {
  private readonly replies: (R | Error)[];
  private open: number;
  private timer: NodeJS.Timeout | undefined;
  private lastAt = 0;

  /**
   * @param maxGap how long after the last answer the next may take, in ms; absent: for ever
   */
  constructor(
    count: number,
    private readonly maxGap: number | undefined,
    private readonly done: (replies: (R | Error)[]) => void,
  ) {
    this.replies = Array<R | Error>(count);
    this.open = count;
    if (count === 0) done(this.replies);
  }

  settle(reply: R | Error, place: number): void {
    if (this.open === 0 || place in this.replies) return;
    this.replies[place] = reply;
    this.open -= 1;
    if (this.open === 0) this.end();
    else if (this.maxGap !== undefined) this.wait(this.maxGap);
  }

  private wait(maxGap: number): void {
    this.lastAt = performance.now();
    if (this.timer === undefined) this.look(maxGap, maxGap);
  }

  private look(maxGap: number, ms: number): void {
    // After what has arrived by then has been read.
    this.timer = setTimeout(() => setImmediate(() => this.giveUp(maxGap)), ms);
  }

  private giveUp(maxGap: number): void {
    if (this.open === 0) return;
    const left = this.lastAt + maxGap - performance.now();
    if (left > 0) {
      this.look(maxGap, left);
      return;
    }
    const error = new Error('A server did not answer, while others did.');
    for (let place = 0; place < this.replies.length; place++) {
      if (!(place in this.replies)) this.replies[place] = error;
    }
    this.end();
  }

  private end(): void {
    this.open = 0;
    clearTimeout(this.timer);
    this.done(this.replies);
  }
}
