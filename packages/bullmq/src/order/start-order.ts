import { setTimeout as sleep } from 'node:timers/promises';

/** A run that has not asked for its place yet. */
export interface Start {
  /** Waits until those that were started before it here have asked, for so many ms at most. */
  readonly turn: (patience: number) => Promise<void>;
  /** It has asked: whoever was started after it may ask now. */
  readonly asked: () => void;
  /** It has its place, or needs none. */
  readonly end: () => void;
}

interface Pending {
  readonly ask: () => void;
  readonly ended: Promise<void>;
}

/**
 * The order in which this process was given the jobs of a queue. They ask for their places in this order,
 * however long their keys take, so that hardly anybody finds that another one has not asked yet.
 */
export class StartOrder {
  private readonly pending = new Map<string, Pending>();
  /** Those that have not asked, the first first. */
  private readonly silent = new Set<Pending>();
  /** When all of them so far have asked. */
  private all: Promise<void> = Promise.resolve();

  begin(id: string): Start {
    const [before, asked, ended] = [this.all, gate(), gate()];
    const start: Pending = {
      ask: () => {
        this.silent.delete(start);
        asked.open();
      },
      ended: ended.opened,
    };
    this.pending.set(id, start);
    this.silent.add(start);
    this.all = before.then(() => asked.opened);
    return {
      turn: (patience) => this.turn(start, before, patience),
      asked: start.ask,
      end: () => {
        start.ask();
        ended.open();
        if (this.pending.get(id) === start) this.pending.delete(id);
      },
    };
  }

  /** Waits until these jobs have their places, as far as they are here, and for so many ms at most. */
  async ended(ids: readonly string[], ms: number): Promise<void> {
    const here = ids.flatMap((id) => this.pending.get(id)?.ended ?? []);
    await (here.length > 0 ? inTime(Promise.all(here), ms) : sleep(ms));
  }

  private async turn(start: Pending, before: Promise<void>, patience: number): Promise<void> {
    const [first] = this.silent;
    if (first === start || (await inTime(before, patience))) return;
    // Whoever is as slow as that holds up nobody else.
    for (const one of this.silent) {
      if (one === start) return;
      one.ask();
    }
  }
}

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Whether something happens within so many ms. */
export async function inTime(something: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([something.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

const orders = new Map<string, StartOrder>();

/** The one of a queue, by what its keys begin with: all guards and workers of the queue share it. */
export function startOrderOf(base: string): StartOrder {
  const order = orders.get(base) ?? new StartOrder();
  orders.set(base, order);
  return order;
}
