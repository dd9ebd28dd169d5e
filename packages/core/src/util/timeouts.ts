import { LinkedList, type Linked } from './linked-list.ts';
import type { Alarm, Time } from './time.ts';

/** Something that must happen within so many ms. */
export interface Timeout extends Linked<Timeout> {
  /** By {@link Time.now}. */
  at: number;
  /** Called once, unless it is met before. */
  missed(): void;
}

/** All timeouts of a locker. */
export class Timeouts {
  private readonly byLength = new Map<number, TimeoutQueue>();

  constructor(private readonly time: Time) {}

  /** Those of one length, in ms. */
  of(length: number): TimeoutQueue {
    let timeouts = this.byLength.get(length);
    if (timeouts === undefined) {
      timeouts = new TimeoutQueue(this.time, length, () => this.byLength.delete(length));
      this.byLength.set(length, timeouts);
    }
    return timeouts;
  }

  /** From now on no timer stays but for what is open. */
  rest(): void {
    for (const timeouts of this.byLength.values()) timeouts.rest();
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

  start(timeout: Timeout): void {
    const { time, length, open } = this;
    timeout.at = time.now() + length;
    open.append(timeout);
    if (this.alarm === undefined) this.arm(length);
    else if (open.size === 1) time.keepAlive(this.alarm, true);
  }

  met(timeout: Timeout): void {
    const { alarm, open } = this;
    open.remove(timeout);
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
