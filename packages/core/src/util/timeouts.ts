import type { Alarm, Time } from './time.ts';

/**
 * Something that must end in time. There is one with every request, so it is an entry of the list of those
 * of its length itself.
 */
export interface Timeout {
  /** Where it is listed while it runs. */
  list: TimeoutList | undefined;
  /** By {@link Time.now}. */
  timeoutAt: number;
  /** Its neighbours in the list. */
  earlier: Timeout | undefined;
  later: Timeout | undefined;
  /** It has not ended in time. */
  timedOut(): void;
}

/** Those of one length, in the order in which they run out. */
interface TimeoutList {
  /** In ms. */
  readonly length: number;
  first: Timeout | undefined;
  last: Timeout | undefined;
  /** For the first of them, or one that has ended since. */
  alarm: Alarm | undefined;
  /** When that rings. */
  alarmAt: number;
}

/**
 * Timeouts of one kind, nearly all of which end in time: those of one length share a timer. It keeps the
 * process alive while one of them runs.
 */
export class Timeouts {
  private readonly lists = new Map<number, TimeoutList>();

  /**
   * @param lasting whether a timer stays for the next one, because to start and end timers costs more than
   *   all else of a request; otherwise there may be many lengths
   */
  constructor(
    private readonly time: Time,
    private lasting: boolean,
  ) {}

  /**
   * Starts one that does not run.
   *
   * @param length in ms
   * @param from when it began, by {@link Time.now}
   */
  start(timeout: Timeout, length: number, from: number): void {
    const list = this.lists.get(length) ?? this.add(length);
    const at = from + length;
    const wasEmpty = list.first === undefined;
    let earlier = list.last;
    while (earlier !== undefined && earlier.timeoutAt > at) ({ earlier } = earlier);
    const later = earlier === undefined ? list.first : earlier.later;
    timeout.list = list;
    timeout.timeoutAt = at;
    timeout.earlier = earlier;
    timeout.later = later;
    if (earlier === undefined) list.first = timeout;
    else earlier.later = timeout;
    if (later === undefined) list.last = timeout;
    else later.earlier = timeout;
    if (list.alarm === undefined || at < list.alarmAt) this.arm(list, at);
    else if (wasEmpty && this.time.mayKeepAlive) list.alarm.timer?.ref?.();
  }

  /** @returns whether it was running */
  end(timeout: Timeout): boolean {
    const { list, earlier, later } = timeout;
    if (list === undefined) return false;
    timeout.list = undefined;
    timeout.earlier = undefined;
    timeout.later = undefined;
    if (earlier === undefined) list.first = later;
    else earlier.later = later;
    if (later === undefined) list.last = earlier;
    else later.earlier = earlier;
    if (list.first !== undefined) return true;
    if (this.lasting) list.alarm?.timer?.unref?.();
    else this.drop(list);
    return true;
  }

  /** From now on no timer stays that is not needed, and those that are needed keep nothing alive. */
  rest(): void {
    this.lasting = false;
    for (const list of this.lists.values()) {
      if (list.first === undefined) this.drop(list);
      else list.alarm?.timer?.unref?.();
    }
  }

  private add(length: number): TimeoutList {
    const list = {
      length,
      first: undefined,
      last: undefined,
      alarm: undefined,
      alarmAt: 0,
    };
    this.lists.set(length, list);
    return list;
  }

  private drop(list: TimeoutList): void {
    this.time.cancel(list.alarm);
    if (this.lists.get(list.length) === list) this.lists.delete(list.length);
  }

  private arm(list: TimeoutList, at: number): void {
    const { time } = this;
    time.cancel(list.alarm);
    list.alarm = time.after(at - time.now(), () => this.ring(list), false);
    list.alarmAt = at;
    if (time.mayKeepAlive) list.alarm.timer?.ref?.();
  }

  private ring(list: TimeoutList): void {
    const now = this.time.now();
    // Those that are started meanwhile need no timer yet, and may have run out already.
    list.alarmAt = -Infinity;
    for (let { first } = list; first !== undefined && first.timeoutAt <= now; { first } = list) {
      this.end(first);
      first.timedOut();
    }
    if (list.first === undefined) this.drop(list);
    else this.arm(list, list.first.timeoutAt);
  }
}
