import type { Transfer } from './ledger.ts';
import { count, paint, say, seconds } from './screen.ts';
import type { Glimpse } from './services.ts';

/** A line so often, in ms. */
const EVERY = 100;
const WIDTH = 22;

const accounts = ({ from, to }: Transfer): string => `${from}+${to}`;

/** What a service holds, or else what it waits for. */
function column({ holds, waitsFor }: Glimpse, width: number): string {
  if (holds !== undefined) {
    return paint('green', `● ${accounts(holds.transfer)} #${holds.fence}`.padEnd(width));
  }
  if (waitsFor !== undefined) return paint('yellow', `◌ ${accounts(waitsFor)}`.padEnd(width));
  return ''.padEnd(width);
}

/** A few lines while the work goes on: who holds, who waits, and how far it is. */
export class Timeline {
  private startedAt: number | undefined;
  private nextAt = EVERY / 3;

  constructor(
    services: readonly { readonly name: string }[],
    private readonly handoffs: () => number,
    private readonly width = WIDTH,
  ) {
    const names = services.map(({ name }) => name.padEnd(width)).join('');
    say(paint('dim', `   time   done  ${names} waiting  hand-offs`));
  }

  readonly watch = (done: number, glimpses: readonly Glimpse[]): void => {
    this.startedAt ??= performance.now();
    const now = performance.now() - this.startedAt;
    if (now < this.nextAt) return;
    this.nextAt = now + EVERY;
    const waiting = glimpses.reduce((sum, glimpse) => sum + glimpse.waiting, 0);
    const time = seconds(now).padStart(7);
    const columns = glimpses.map((glimpse) => column(glimpse, this.width)).join('');
    const totals = `${String(waiting).padStart(8)}${count(this.handoffs()).padStart(11)}`;
    say(`${time}${count(done).padStart(7)}  ${columns}${totals}`);
  };
}
