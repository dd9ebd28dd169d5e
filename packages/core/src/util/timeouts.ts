import { LinkedList, type Linked } from './linked-list.ts';
import type { Alarm, Time } from './time.ts';

/** Something that must happen within so many ms. */
export interface Timeout extends Linked<Timeout> {
  /** By {@link Time.now}. */
  at: number;
  /** Called once, unless it is met before. */
  missed(): void;
}

/** All deadlines of a locker. */
export class Timeouts {
  private readonly byLength = new Map<number, TimeoutQueue>();

  constructor(private readonly time: Time) {}

  /** Those of one length, in ms. */
  of(length: number): TimeoutQueue {
    let deadlines = this.byLength.get(length);
    if (deadlines === undefined) {
      deadlines = new TimeoutQueue(this.time, length, () => this.byLength.delete(length));
      this.byLength.set(length, deadlines);
    }
    return deadlines;
  }

  /** From now on no timer stays but for what is open. */
  rest(): void {
    for (const deadlines of this.byLength.values()) deadlines.rest();
  }
}

/**
 * TimeoutQueue of one length, most of which are met: they share a timer. While one is open it keeps the
 * process alive.
 */
export class TimeoutQueue {
  private readonly open = new LinkedList<Timeout>();
  private alarm: Alarm | undefined = undefined;
  private resting = false;

  constructor(
    private readonly time: Time,
    private readonly length: number,
    private readonly onUnused: () => void,
  ) {}

  start(deadline: Timeout): void {
    const { time, length, open } = this;
    deadline.at = time.now() + length;
    open.append(deadline);
    if (this.alarm === undefined) this.arm(length);
    else if (open.size === 1) time.keepAlive(this.alarm, true);
  }

  met(deadline: Timeout): void {
    const { alarm, open } = this;
    open.remove(deadline);
    if (open.size > 0 || alarm === undefined) return;
    // The timer stays for the next one: to start and end timers costs more than all else of a request.
    if (this.resting) this.rest();
    else this.time.keepAlive(alarm, false);
  }

  rest(): void {
    this.resting = true;
    if (this.open.size > 0) return;
    this.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  private arm(ms: number): void {
    this.alarm = this.time.after(ms, () => this.ring(), true);
  }

  private ring(): void {
    const { open, time } = this;
    this.alarm = undefined;
    const now = time.now();
    for (let next = open.first; next !== undefined && next.at <= now; next = open.first) {
      open.remove(next);
      next.missed();
    }
    if (open.first === undefined) this.onUnused();
    else if (this.alarm === undefined) this.arm(open.first.at - now);
  }
}
