import type { Transfer } from './ledger.ts';
import { count, paint, seconds } from './screen.ts';
import type { Glimpse } from './services.ts';
import type { Stage } from './stage.ts';

/** A line so often, in ms, where lines are all there is. */
const EVERY = 200;
const BAR = 40;
const TITLE = paint('bold', '3. The same with a lock on both accounts of each transfer');

const accounts = ({ from, to }: Transfer): string => `${from}+${to}`;

/** What a service holds, or else what it waits for. */
function doing({ holds, waitsFor }: Glimpse): string {
  if (holds !== undefined) {
    return paint('green', `● ${accounts(holds.transfer)} #${holds.fence}`);
  }
  return waitsFor === undefined ? '' : paint('yellow', `◌ ${accounts(waitsFor)}`);
}

/** The work while it goes on: who holds, who waits, and how far it is. */
export class Timeline {
  private startedAt: number | undefined;
  private nextAt = EVERY / 6;
  private lines: readonly string[] = [];

  constructor(
    private readonly stage: Stage,
    private readonly transfers: number,
  ) {
    stage.conclude('careful', [TITLE]);
  }

  readonly watch = (done: number, glimpses: readonly Glimpse[]): void => {
    this.startedAt ??= performance.now();
    const now = performance.now() - this.startedAt;
    const waiting = glimpses.reduce((sum, glimpse) => sum + glimpse.waiting, 0);
    const full = Math.round((done / this.transfers) * BAR);
    const bar = paint('green', '█'.repeat(full)) + paint('dim', '░'.repeat(BAR - full));
    this.lines = [
      `   ${bar} ${count(done)} done, ${waiting} waiting`,
      ...glimpses.map((glimpse) => `   ${glimpse.name.padEnd(9)} ${doing(glimpse)}`),
    ];
    this.stage.show('careful', [TITLE, ...this.lines]);
    if (now < this.nextAt) return;
    this.nextAt = now + EVERY;
    const first = glimpses.find(({ holds }) => holds !== undefined);
    const who = first === undefined ? '' : `, ${first.name} ${doing(first)}`;
    this.stage.tell(`  ${seconds(now).padStart(6)} ${count(done)} done, ${waiting} waiting${who}`);
  };

  end(lines: readonly string[]): void {
    const [bar = ''] = this.lines;
    this.stage.show('careful', [TITLE, ...(bar === '' ? [] : [bar]), ...lines]);
    for (const line of lines) this.stage.tell(line);
  }
}
