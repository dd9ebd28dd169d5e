import { setTimeout as sleep } from 'node:timers/promises';
import { inTime } from './in-time.ts';

/** A run of a job on its way to its place in the lines of its keys. */
export class Start {
  /** Whether its keys are known, or it has ended. */
  told = false;
  /** Whether it has a place, or has ended. */
  isPlaced = false;
  /** Those with one of its keys that were started before it, and had no place when it asked for its own. */
  readonly before: Start[] = [];
  keys: readonly string[] = [];
  /** Present while it waits for its turn. */
  waiting: { readonly resolve: (inTime: boolean) => void; readonly until: number } | undefined;
  private whenPlaced: Promise<void> | undefined;
  private resolvePlaced: (() => void) | undefined;

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
    if (this.isPlaced) return;
    this.isPlaced = true;
    this.order.placed(this);
    this.resolvePlaced?.();
  }

  /**
   * Waits until the keys of those that were started before it here are known, for so many ms at most.
   *
   * @returns whether it can be before all of them: none of them has its keys
   */
  async passes(patience: number): Promise<boolean> {
    const inTurn = await this.order.turn(this, patience);
    if (this.before.length === 0) return inTurn;
    await inTime(Promise.all(this.before.map((start) => start.placed())), patience);
    return false;
  }

  /** It has left the code that asks for places, however. */
  end(): void {
    this.place();
    this.order.end(this);
  }

  placed(): Promise<void> {
    if (this.isPlaced) return Promise.resolve();
    this.whenPlaced ??= new Promise((resolve) => (this.resolvePlaced = resolve));
    return this.whenPlaced;
  }
}

/**
 * The order in which this process was given the jobs of a queue. Each asks for its place as soon as its keys
 * are known, and goes when those of all that were started before it are known too.
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
    start.told = true;
    for (const key of start.keys) {
      const others = this.told.get(key);
      for (const other of others ?? []) {
        const [first, second] = other.number < start.number ? [other, start] : [start, other];
        if (!first.isPlaced) second.before.push(first);
      }
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
    if (!start.told || start.waiting !== undefined) {
      start.told = true;
      start.waiting = undefined;
      this.proceed();
    }
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
    const here = ids.flatMap((id) => this.unplaced.get(id)?.placed() ?? []);
    await (here.length > 0 ? inTime(Promise.all(here), ms) : sleep(ms));
  }

  /** Lets those go that are behind nobody whose keys are not known. */
  private proceed(): void {
    for (const start of this.untold) {
      if (!start.told) return;
      this.untold.delete(start);
      start.waiting?.resolve(true);
      start.waiting = undefined;
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
        this.untold.delete(start);
        start.waiting.resolve(false);
        start.waiting = undefined;
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
