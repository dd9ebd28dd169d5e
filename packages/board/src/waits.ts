import type { HotKey } from './protocol.ts';

/** After so long, in ms, what was waited counts half. */
const HALF_LIFE = 300_000;
/** The most keys that are remembered. */
const MOST = 4_000;

interface Heat {
  waited: number;
  waits: number;
  at: number;
}

/** Which keys were waited for, how long, lately; and who waits now. */
export class Waits {
  private readonly heats = new Map<string, Heat>();
  private readonly current = new Map<number, { readonly key: string; readonly since: number }>();

  begin(waiter: number, key: string, since: number): void {
    this.current.set(waiter, { key, since });
  }

  /** @param waited in ms */
  end(waiter: number | undefined, key: string, waited: number, now: number): void {
    if (waiter === undefined) return;
    this.current.delete(waiter);
    const heat = this.heats.get(key) ?? { waited: 0, waits: 0, at: now };
    const left = 0.5 ** ((now - heat.at) / HALF_LIFE);
    this.heats.set(key, {
      waited: heat.waited * left + waited,
      waits: heat.waits * left + 1,
      at: now,
    });
    if (this.heats.size > MOST) this.forgetHalf(now);
  }

  /** The longest waited for first; who waits now counts as well. */
  hottest(count: number, now: number): HotKey[] {
    const total = new Map<string, { waited: number; waits: number }>();
    for (const [key, { waited, waits, at }] of this.heats) {
      const left = 0.5 ** ((now - at) / HALF_LIFE);
      total.set(key, { waited: waited * left, waits: waits * left });
    }
    for (const { key, since } of this.current.values()) {
      const { waited, waits } = total.get(key) ?? { waited: 0, waits: 0 };
      total.set(key, { waited: waited + (now - since), waits: waits + 1 });
    }
    return [...total]
      .map(([key, { waited, waits }]) => ({ key, waited, waits: Math.max(1, Math.round(waits)) }))
      .filter(({ waited }) => waited >= 1)
      .toSorted((a, b) => b.waited - a.waited)
      .slice(0, count);
  }

  private forgetHalf(now: number): void {
    const keep = new Set(this.hottest(MOST / 2, now).map(({ key }) => key));
    for (const key of this.heats.keys()) if (!keep.has(key)) this.heats.delete(key);
  }
}
