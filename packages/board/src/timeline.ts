import type { Locker, LockEvents } from '@holdfast/core';
import type { TimelineEntry } from './protocol.ts';
import { Waits } from './waits.ts';

/** How many entries are kept. */
const KEPT = 200;

type Note<E extends keyof LockEvents> = (payload: LockEvents[E]) => string | undefined;

const ms = (duration: number): string =>
  duration < 1_000 ? `${Math.round(duration)} ms` : `${(duration / 1_000).toFixed(1)} s`;

/** What is told of each event; `renewed` is not, for there are too many. */
const NOTES: { readonly [E in keyof LockEvents]?: Note<E> } = {
  acquired: ({ waited, waiter }) => (waiter === undefined ? undefined : `after ${ms(waited)}`),
  waiting: () => undefined,
  'not-acquired': ({ waited, reason }) => `${reason} after ${ms(waited)}`,
  released: ({ heldFor }) => `held ${ms(heldFor)}`,
  lost: ({ reason, heldFor }) => `${reason}, held ${ms(heldFor)}`,
  handoff: () => undefined,
  bypassed: () => undefined,
  // Its message may be a server's, and holds no key.
  'store-error': ({ error }) => `${error.phase}: ${error.message}`,
  warning: ({ code }) => code,
};

/** What the lockers of this process tell, as it happens. */
export class Timeline {
  readonly waits = new Waits();
  private readonly entries: TimelineEntry[] = [];
  private readonly ends: (() => void)[] = [];
  private number = 0;

  constructor(
    lockers: ReadonlyMap<string, Locker>,
    private readonly shown: (key: string) => string,
  ) {
    for (const [name, locker] of lockers) this.listen(name, locker);
  }

  /** Those after `number`, the oldest first. */
  since(number: number): TimelineEntry[] {
    return this.entries.filter((entry) => entry.number > number);
  }

  add(entry: Omit<TimelineEntry, 'number' | 'at' | 'key'> & { key?: string | undefined }): void {
    const { key } = entry;
    const shown = key === undefined ? undefined : this.shown(key);
    this.number += 1;
    this.entries.push({ ...entry, key: shown, number: this.number, at: Date.now() });
    if (this.entries.length > KEPT) this.entries.shift();
  }

  close(): void {
    for (const end of this.ends.splice(0)) end();
  }

  private listen(locker: string, source: Locker): void {
    for (const event of Object.keys(NOTES) as (keyof LockEvents)[]) {
      const note = NOTES[event] as Note<typeof event>;
      this.ends.push(
        source.on(event, (payload) => {
          const { key, label } = payload as { key?: string; label?: string };
          this.add({ event, locker, key, label, note: note(payload) });
        }),
      );
    }
    const ended = (payload: { key: string; waited: number; waiter?: number | undefined }): void =>
      this.waits.end(payload.waiter, payload.key, payload.waited, Date.now());
    this.ends.push(
      source.on('waiting', ({ waiter, key }) => this.waits.begin(waiter, key, Date.now())),
      source.on('acquired', ended),
      source.on('not-acquired', ended),
    );
  }
}
