import { setTimeout as sleep } from 'node:timers/promises';
import { inTime } from './in-time.ts';

/** Something that happens once, and that hardly anybody waits for. */
class Once {
  private promise: Promise<void> | undefined;
  private resolve: (() => void) | undefined;
  private over = false;

  get happened(): boolean {
    return this.over;
  }

  happen(): void {
    this.over = true;
    this.resolve?.();
  }

  wait(): Promise<void> {
    if (this.over) return Promise.resolve();
    this.promise ??= new Promise((resolve) => (this.resolve = resolve));
    return this.promise;
  }
}

/** A run of a job on its way to its place in the lines of its keys, and to its locks. */
export class Start {
  keys: readonly string[] = [];
  /** Whether its keys are known, or it has ended. */
  isTold = false;
  /** It has a place, or has ended. */
  readonly placed = new Once();
  /** It has no locks that it may have to give back. */
  readonly settled = new Once();
  /** Those with one of its keys that were started before it, and had no place when it asked for its own. */
  before: Start[] = [];
  /** Those with one of its keys that were started after it, and may have their locks already. */
  after: Start[] = [];
  /** Present while it waits for its turn. */
  waiting: { readonly resolve: (inTurn: boolean) => void; readonly until: number } | undefined;

  constructor(
    private readonly order: StartOrder,
    readonly id: string,
    readonly number: number,
  ) {}

  /** Its keys are known. It is about to ask for its place. */
  tell(keys: readonly string[]): void {
    this.keys = keys;
    this.order.tell(this);
  }

  /** It has its place. */
  place(): void {
    this.placed.happen();
    this.order.placed(this);
  }

  /**
   * Waits until the keys of those that were started before it here are known, for so many ms at most.
   *
   * @returns whether it goes before all of them: none of them has its keys
   */
  async isNext(patience: number): Promise<boolean> {
    const inTurn = this.before.length === 0 && (await this.order.turn(this, patience));
    if (inTurn) this.settled.happen();
    return inTurn;
  }

  /** Waits for the places of those that turned out to be before it, for so many ms at most. */
  async followed(patience: number): Promise<void> {
    await inTime(Promise.all(this.before.map(({ placed }) => placed.wait())), patience);
    this.before = [];
  }

  /** Waits for those that may have its locks, and turned out to be after it. */
  async cleared(): Promise<void> {
    await Promise.all(this.after.map(({ settled }) => settled.wait()));
  }

  /** It has left the code that asks for places, however. */
  end(): void {
    this.place();
    this.settled.happen();
    this.order.end(this);
  }
}

/**
 * The order in which this process was given the jobs of a queue. Each asks for its place, and then for its
 * locks, as soon as its keys are known. It runs when those of all that were started before it are known too,
 * and gives its locks back if one of them has its keys.
 */
export class StartOrder {
  private numbers = 0;
  /** Those without a place, the first first. */
  private readonly unplaced = new Map<string, Start>();
  /** Those whose keys are not known, and those that wait behind them, the first first. */
  private readonly untold = new Set<Start>();
  /** Those whose keys are known, by their keys. */
  private readonly told = new Map<string, Set<Start>>();
  private timer: NodeJS.Timeout | undefined;
  /** When the timer rings. */
  private due = Infinity;

  begin(id: string): Start {
    const start = new Start(this, id, ++this.numbers);
    this.unplaced.delete(id);
    this.unplaced.set(id, start);
    this.untold.add(start);
    return start;
  }

  /** The jobs without a place, the first first. */
  get jobs(): readonly string[] {
    return [...this.unplaced.keys()];
  }

  tell(start: Start): void {
    start.isTold = true;
    for (const key of start.keys) {
      const others = this.told.get(key);
      for (const other of others ?? []) this.relate(start, other);
      if (others === undefined) this.told.set(key, new Set([start]));
      else others.add(start);
    }
    this.proceed();
  }

  placed(start: Start): void {
    if (this.unplaced.get(start.id) === start) this.unplaced.delete(start.id);
  }

  end(start: Start): void {
    for (const key of start.keys) {
      const others = this.told.get(key);
      if (others?.delete(start) === true && others.size === 0) this.told.delete(key);
    }
    start.isTold = true;
    start.waiting = undefined;
    if (this.untold.has(start)) this.proceed();
  }

  /** @returns whether the keys of all before it are known, in time */
  turn(start: Start, patience: number): Promise<boolean> | true {
    if (!this.untold.has(start)) return true;
    const until = performance.now() + patience;
    return new Promise((resolve) => {
      start.waiting = { resolve, until };
      this.ringAt(until);
    });
  }

  /** Waits until these jobs have their places, as far as they are here, and for so many ms at most. */
  async placedInTime(ids: readonly string[], ms: number): Promise<void> {
    const here = ids.flatMap((id) => this.unplaced.get(id)?.placed.wait() ?? []);
    await (here.length > 0 ? inTime(Promise.all(here), ms) : sleep(ms));
  }

  /** A run whose keys have just become known, and another one with one of them. */
  private relate(start: Start, other: Start): void {
    if (other.number < start.number) {
      if (!other.placed.happened) start.before.push(other);
    } else {
      other.before.push(start);
      if (!other.settled.happened) start.after.push(other);
      this.wake(other, false);
    }
  }

  private wake(start: Start, inTurn: boolean): void {
    this.untold.delete(start);
    start.waiting?.resolve(inTurn);
    start.waiting = undefined;
  }

  /** Lets those go that are behind nobody whose keys are not known. */
  private proceed(): void {
    for (const start of this.untold) {
      if (!start.isTold) return;
      this.wake(start, true);
    }
  }

  /** One timer for all who wait; most often, none of them waits until it rings. */
  private ringAt(until: number): void {
    if (until >= this.due) return;
    clearTimeout(this.timer);
    this.due = until;
    this.timer = setTimeout(() => this.ring(), until - performance.now());
  }

  /** Whoever has waited for too long waits no more. */
  private ring(): void {
    this.due = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const start of this.untold) {
      if (start.waiting === undefined) continue;
      if (start.waiting.until > now) {
        next = Math.min(next, start.waiting.until);
      } else {
        this.wake(start, false);
      }
    }
    if (next !== Infinity) this.ringAt(next);
  }
}

const orders = new Map<string, StartOrder>();

/** The one of a queue, by what its keys begin with: all guards and workers of the queue share it. */
export function startOrderOf(base: string): StartOrder {
  const order = orders.get(base) ?? new StartOrder();
  orders.set(base, order);
  return order;
}
