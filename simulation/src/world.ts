import { Dice } from './dice.ts';
import { randomsOf, type Seed } from './seed.ts';

interface Happening {
  readonly at: number;
  readonly order: number;
  /** Nothing once it is cancelled. */
  run: (() => void) | undefined;
}

/** Virtual time and chance, the same for the same seed. */
export class World extends Dice {
  now = 0;
  /** Decides who wants what, and when. */
  readonly workload: Dice;
  /** Decides how long messages take, and which are lost. */
  readonly network: Dice;
  /** Decides what comes from outside. */
  readonly disturbances: Dice;
  private count = 0;
  /** A binary heap: what happens first is on top. */
  private readonly heap: Happening[] = [];

  constructor(seed: Seed) {
    const { workload, network, disturbances, rest } = randomsOf(seed);
    super(rest);
    this.workload = new Dice(workload);
    this.network = new Dice(network);
    this.disturbances = new Dice(disturbances);
  }

  after(ms: number, run: () => void): Happening {
    const happening = { at: this.now + ms, order: this.count++, run };
    this.push(happening);
    return happening;
  }

  /** Ends the run with an error, from where the code under test would take it for one of a store. */
  fail(error: unknown): void {
    this.after(0, () => {
      throw error as Error;
    });
  }

  cancel(happening: Happening): void {
    happening.run = undefined;
  }

  /** Lets things happen, one at a time, each with all that follows from it. */
  run(until: number, checked: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = (): void => {
        try {
          checked();
          const next = this.pop(until);
          if (next === undefined) {
            this.now = until;
            resolve();
            return;
          }
          this.now = next.at;
          next.run?.();
          // A tick that is asked for by a microtask comes when no microtask is left.
          queueMicrotask(() => process.nextTick(step));
        } catch (error) {
          reject(error);
        }
      };
      queueMicrotask(() => process.nextTick(step));
    });
  }

  private push(happening: Happening): void {
    const { heap } = this;
    let index = heap.push(happening) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(happening, heap[parent] as Happening)) break;
      heap[index] = heap[parent] as Happening;
      index = parent;
    }
    heap[index] = happening;
  }

  private pop(until: number): Happening | undefined {
    for (;;) {
      const [top] = this.heap;
      if (top === undefined || top.at > until) return undefined;
      this.removeTop();
      if (top.run !== undefined) return top;
    }
  }

  private removeTop(): void {
    const { heap } = this;
    const last = heap.pop() as Happening;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, heap[child] as Happening)) child += 1;
      if (!before(heap[child] as Happening, last)) break;
      heap[index] = heap[child] as Happening;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
