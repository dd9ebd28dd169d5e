import type { Transfer } from './ledger.ts';
import { count, paint, say, seconds } from './screen.ts';
import type { Doing, Service } from './services.ts';

/** A line so often, in ms. */
const EVERY = 100;
const WIDTH = 22;

const accounts = ({ from, to }: Transfer): string => `${from}+${to}`;

/** One of the things that a service is doing: what it holds, or else what it waits for. */
function glimpse({ holding, waiting }: Doing): string {
  const [held] = holding;
  if (held !== undefined) {
    const [transfer, lock] = held;
    const fence = lock?.tokenFor(transfer.from) ?? 0;
    return paint('green', `● ${accounts(transfer)} #${fence}`.padEnd(WIDTH));
  }
  const [waits] = waiting;
  if (waits !== undefined) return paint('yellow', `◌ ${accounts(waits)}`.padEnd(WIDTH));
  return ''.padEnd(WIDTH);
}

/** A few lines while the work goes on: who holds, who waits, and how far it is. */
export class Timeline {
  private readonly startedAt = performance.now();
  private nextAt = EVERY / 3;

  constructor(
    services: readonly Service[],
    private readonly handoffs: () => number,
  ) {
    const names = services.map(({ name }) => name.padEnd(WIDTH)).join('');
    say(paint('dim', `   time   done  ${names} waiting  hand-offs`));
  }

  readonly watch = (done: number, doings: readonly Doing[]): void => {
    const now = performance.now() - this.startedAt;
    if (now < this.nextAt) return;
    this.nextAt = now + EVERY;
    const waiting = doings.reduce((sum, doing) => sum + doing.waiting.size, 0);
    const time = seconds(now).padStart(7);
    const glimpses = doings.map(glimpse).join('');
    const totals = `${String(waiting).padStart(8)}${count(this.handoffs()).padStart(11)}`;
    say(`${time}${count(done).padStart(7)}  ${glimpses}${totals}`);
  };
}
