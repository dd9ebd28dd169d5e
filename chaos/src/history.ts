import type { Note } from './protocol.ts';

/** From when to when a holder knew that it held a lock. */
interface Hold {
  readonly key: string;
  readonly token: number;
  readonly from: number;
  to: number;
}

/** All that the workers told. */
export class History {
  readonly failures: string[] = [];
  readonly losses: Record<string, number> = {};
  rounds = 0;
  gaveUp = 0;
  /** Writes that came after a later holder's and were refused, or that nobody tried any more. */
  late = 0;
  longestWait = 0;
  private readonly holds = new Map<string, Hold>();
  private readonly writes = new Map<string, number>();

  readonly note = (note: Note): void => {
    if (note.what === 'began') {
      const { key, token, at } = note;
      const name = `${key} ${token}`;
      if (this.holds.has(name))
        this.failures.push(`Two holders have the token ${token} of ${key}.`);
      this.holds.set(name, { key, token, from: at, to: at });
    } else if (note.what === 'held') {
      const hold = this.holds.get(`${note.key} ${note.token}`);
      if (hold !== undefined) hold.to = note.at;
    } else if (note.what === 'done') {
      this.rounds += 1;
      this.longestWait = Math.max(this.longestWait, note.waited);
      if (note.wrote) this.writes.set(note.key, this.written(note.key) + 1);
      else this.late += 1;
    } else if (note.what === 'lost') {
      this.losses[note.reason] = (this.losses[note.reason] ?? 0) + 1;
    } else if (note.what === 'gave-up') {
      this.gaveUp += 1;
    } else if (note.what === 'failed') {
      this.failures.push(note.error);
    }
  };

  get grants(): number {
    return this.holds.size;
  }

  written(key: string): number {
    return this.writes.get(key) ?? 0;
  }

  /** Holders that overlapped, and tokens that did not grow. */
  violations(): string[] {
    const found: string[] = [];
    const last = new Map<string, Hold>();
    for (const hold of [...this.holds.values()].toSorted((a, b) => a.from - b.from)) {
      const before = last.get(hold.key);
      last.set(hold.key, hold);
      if (before === undefined) continue;
      const what = `${hold.key}: token ${hold.token} from ${hold.from.toFixed(2)}, `;
      if (before.to > hold.from) {
        found.push(`${what}while ${before.token} was held until ${before.to.toFixed(2)}.`);
        if (before.to > hold.to) last.set(hold.key, before);
      }
      if (before.token >= hold.token) found.push(`${what}after ${before.token}.`);
    }
    return found;
  }
}
