/**
 * What users are to be told: events, `onLost`, aborted signals. Their code may do anything with the
 * locker, so it runs when a change of state is complete, in the order in which things happened, and
 * never inside the call that caused it.
 */
export class Notices {
  private readonly queue: (() => void)[] = [];
  /** How many changes of state are open, one within the other. */
  private depth = 0;
  private delivering = false;
  private scheduled = false;

  /** Must not throw. Outside of any change it is delivered in a turn of its own. */
  add(notice: () => void): void {
    this.queue.push(notice);
    if (this.depth === 0) this.deliverSoon();
  }

  /** A change of state begins. It may begin within another one. */
  begin(): void {
    this.depth += 1;
  }

  /** The change is complete: whoever is concerned is told now, unless others are being told. */
  end(): void {
    this.depth -= 1;
    if (this.depth === 0 && this.queue.length > 0) this.deliver();
  }

  /** As {@link end}, for a change in a call of the user's that must return first. */
  endLater(): void {
    this.depth -= 1;
    if (this.depth === 0 && this.queue.length > 0) this.deliverSoon();
  }

  private deliverSoon(): void {
    if (this.delivering || this.scheduled) return;
    this.scheduled = true;
    // Not `queueMicrotask`, which the fake timers of test runners replace.
    void Promise.resolve().then(() => {
      this.scheduled = false;
      this.deliver();
    });
  }

  private deliver(): void {
    if (this.delivering) return;
    this.delivering = true;
    const { queue } = this;
    // What is added meanwhile comes last.
    for (let next = 0; next < queue.length; next++) queue[next]?.();
    queue.length = 0;
    this.delivering = false;
  }
}
