/**
 * What users are to be told: events, `onLost`, signals of lost locks. Their code may do anything with the
 * locker, so it never runs within the call that caused it, but in a turn of the promises after that: every
 * change of state is complete by then. They are told in the order in which things happened, and before
 * anybody goes on who waits for a promise that the same change has settled.
 */
export class Notices {
  private readonly queue: (() => void)[] = [];
  private delivering = false;

  /** Must not throw. */
  add(notice: () => void): void {
    // Those before it are not delivered yet, and will be with it.
    if (this.queue.push(notice) > 1) return;
    // Not `queueMicrotask`, which the fake timers of test runners replace.
    void Promise.resolve().then(() => this.deliver());
  }

  /** Where a change is known to be complete, and no call of a user's to be under way: tells of it now. */
  deliver(): void {
    if (this.delivering) return;
    this.delivering = true;
    const { queue } = this;
    // What is added meanwhile comes last.
    for (let next = 0; next < queue.length; next++) queue[next]?.();
    queue.length = 0;
    this.delivering = false;
  }
}
