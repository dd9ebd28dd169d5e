import type { CallId, Event, Want } from './events.ts';

/** What the oracle has to know of a run. */
export interface Rules {
  /** The ttl of every lock, in ms. */
  readonly ttl: number;
}

/** The rules that a history may break, each with a name of its own. */
export type Rule =
  /** Two hold what one may hold, or more weight than the limit, or a reader beside a writer. */
  | 'exclusion'
  /** Who has a smaller token acts after one with a larger token, whom it excludes, has begun. */
  | 'successor'
  /** Tokens are unique, and larger than all that were granted before the acquisition began. */
  | 'tokens'
  /** A lease that was ended early is told within what was left of it. */
  | 'told in time'
  /** A lease is told to have been ended early only if something has ended it. */
  | 'reason'
  /** What a holder wrote is there for the next one to read. */
  | 'lost update'
  /** `holdAtLeast` keeps the next one out for as long. */
  | 'holdAtLeast'
  /** Whatever was asked for is granted or refused in the end, and every process ends. */
  | 'ends'
  /** No call fails but by contention, or by an outage where that is told. */
  | 'failure'
  /** Nothing stays on the servers. */
  | 'leftover';

export interface Violation {
  readonly rule: Rule;
  readonly message: string;
}

/** What was found in a history. */
export interface Verdict {
  readonly violations: readonly Violation[];
  /** Overlaps that are not promised away, by what ended the older lease early. */
  readonly allowed: Readonly<Record<string, number>>;
}

/** How long a request whose answer never came may still be on its way to the server, in ms. */
const UNDERWAY = 10_000;

/** So many tokens at most are reserved with a grant, for those to whom it is passed on. */
const RESERVED = 128;

/** An acquisition. */
interface Call {
  readonly id: CallId;
  readonly wants: readonly Want[];
  readonly owner: string | undefined;
  readonly atLeast: number;
  readonly askedAt: number;
  holds: readonly Hold[];
}

/** The time in which a call is known to have held one of its keys. */
interface Hold extends Want {
  readonly call: CallId;
  readonly owner: string;
  /** 0 where the store gives none. */
  readonly token: number;
  readonly askedAt: number;
  /** When its grant was asked for: of one that was passed on within a process, by the first who had it. */
  readonly since: number;
  readonly atLeast: number;
  readonly from: number;
  to: number;
}

/** Something that ends leases of a key before their time: somewhen between `from` and `at`. */
interface EarlyEnd {
  readonly why: 'forced' | 'superseded' | 'forgotten';
  readonly from: number;
  at: number;
  /** Only leases of this owner. */
  readonly owner?: string | undefined;
  /** By whom, who does not end its own. */
  readonly by?: CallId | undefined;
  /** Whether it is known that it ended whatever was held all the while. */
  readonly sure: boolean;
}

/**
 * Checks what processes tell against the model of a lease: a key is held by those whom the store has
 * granted it, until they release it, it runs out, or something ends it early; then another may hold it,
 * and the former must know by its own clock.
 *
 * A hold counts only from its first `assertHeld()` that has passed to its last one, so that no delay of a
 * process or of its report can make an overlap of what is none.
 */
export class Oracle {
  readonly losses: Record<string, number> = {};
  readonly endings: Record<string, number> = {};
  grants = 0;
  /** The longest that an acquisition took, from asking to its end, in ms. */
  longest = 0;
  private readonly open = new Map<CallId, Call>();
  private readonly holds = new Map<string, Hold[]>();
  /** By process and key: what it held last. */
  private readonly latest = new Map<string, Hold>();
  private readonly ends = new Map<string, EarlyEnd[]>();
  private readonly everywhere: EarlyEnd[] = [];
  private readonly superseding = new Map<CallId, EarlyEnd[]>();
  private readonly lost: { readonly call: Call; readonly reason: string; readonly at: number }[] =
    [];
  private readonly writes = new Map<string, { readonly token: number; readonly count: number }[]>();
  private readonly violations: Violation[] = [];
  private readonly allowed: Record<string, number> = {};

  constructor(private readonly rules: Rules) {}

  readonly note = (event: Event): void => {
    switch (event.what) {
      case 'asked':
        this.asked(event);
        break;
      case 'granted':
        this.granted(event);
        break;
      case 'held':
        for (const hold of this.open.get(event.call)?.holds ?? []) hold.to = event.at;
        break;
      case 'lost': {
        const call = this.open.get(event.call);
        this.losses[event.reason] = (this.losses[event.reason] ?? 0) + 1;
        if (call !== undefined) this.lost.push({ call, reason: event.reason, at: event.at });
        break;
      }
      case 'wrote':
        listOf(this.writes, event.key).push(event);
        break;
      case 'ended':
        this.longest = Math.max(
          this.longest,
          event.at - (this.open.get(event.call)?.askedAt ?? event.at),
        );
        this.endings[event.how] = (this.endings[event.how] ?? 0) + 1;
        this.close(event.call, event.how === 'released' ? event.at : event.at + UNDERWAY);
        break;
      case 'forced': {
        const { key, owner, from, sure } = event;
        const at = sure ? event.at : event.at + UNDERWAY;
        listOf(this.ends, key).push({ why: 'forced', from, at, owner, sure });
        break;
      }
      case 'failed':
        this.violated('failure', event.error);
        break;
      case 'exited':
        this.exited(event);
        break;
      case 'forgot':
        this.everywhere.push({ why: 'forgotten', from: event.from, at: event.at, sure: false });
        break;
      case 'left':
        this.violated('leftover', event.thing);
        break;
      default:
    }
  };

  /** To be asked for when all processes have exited. */
  verdict(): Verdict {
    for (const { id } of this.open.values()) this.violated('ends', `${id} was never answered.`);
    for (const [key, holds] of this.holds) {
      holds.sort((a, b) => a.from - b.from);
      this.checkExclusion(key, holds);
      this.checkSuccessors(key, holds);
      this.checkTokens(key, holds);
      this.checkHoldAtLeast(key, holds);
      this.checkTold(key, holds);
    }
    this.checkReasons();
    this.checkWrites();
    return { violations: this.violations, allowed: this.allowed };
  }

  private asked({ call: id, wants, owner, atLeast = 0, at }: Asked): void {
    this.open.set(id, { id, wants, owner, atLeast, askedAt: at, holds: [] });
    if (owner === undefined) return;
    const ends = wants.map(({ key }) => {
      const by = { owner, by: id, sure: false };
      const end: EarlyEnd = { why: 'superseded', from: at, at: Infinity, ...by };
      listOf(this.ends, key).push(end);
      return end;
    });
    this.superseding.set(id, ends);
  }

  private granted({ call: id, tokens, owner, at }: Granted): void {
    const call = this.open.get(id);
    if (call === undefined) return;
    const { askedAt, atLeast } = call;
    call.holds = call.wants.map((want, index) => {
      const token = tokens[index] ?? 0;
      const since = this.sinceOf(id, want.key, token) ?? askedAt;
      return { ...want, call: id, owner, token, askedAt, since, atLeast, from: at, to: at };
    });
    for (const hold of call.holds) {
      listOf(this.holds, hold.key).push(hold);
      this.latest.set(`${processOf(id)} ${hold.key}`, hold);
    }
    for (const end of this.superseding.get(id) ?? []) end.at = at;
    this.superseding.delete(id);
    this.grants += 1;
  }

  /** Since when the process has a grant that it passes on: tokens of other grants are times apart. */
  private sinceOf(id: CallId, key: string, token: number): number | undefined {
    const before = this.latest.get(`${processOf(id)} ${key}`);
    if (before === undefined || token < before.token) return undefined;
    return token - before.token <= RESERVED ? before.since : undefined;
  }

  /** @param at when no request of the call can reach the server any more */
  private close(id: CallId, at: number): void {
    this.open.delete(id);
    for (const end of this.superseding.get(id) ?? []) end.at = at;
    this.superseding.delete(id);
  }

  private exited({ process, how, at }: Exited): void {
    if (how === 'badly') this.violated('ends', `Process ${process} did not end well.`);
    if (how !== 'killed') return;
    for (const id of this.open.keys()) {
      if (processOf(id) === process) this.close(id, at + UNDERWAY);
    }
  }

  /** Who holds a key at the moment at which another begins. */
  private checkExclusion(key: string, holds: readonly Hold[]): void {
    let active: Hold[] = [];
    for (const hold of holds) {
      const { from } = hold;
      active = active.filter(({ to }) => to > from);
      active.push(hold);
      if (!exclude(active)) continue;
      const why = new Set<string>();
      const left = active.filter((one) => {
        const end = this.endOf(key, one, from);
        if (end !== undefined) why.add(end.why);
        return end === undefined;
      });
      if (!exclude(left)) this.allow(why, 'two at once');
      else this.violated('exclusion', `${key} at ${ms(from)}: ${active.map(shown).join(', ')}.`);
    }
  }

  /** Who acts after its successor; who acts beside it is found above. */
  private checkSuccessors(key: string, holds: readonly Hold[]): void {
    /** The first among those with larger tokens that excludes anybody, and that excludes who is alone. */
    let firstAlone: Hold | undefined;
    let first: Hold | undefined;
    const earlier = (a: Hold, b: Hold | undefined): Hold =>
      b === undefined || a.from < b.from ? a : b;
    for (const hold of holds.toSorted((a, b) => b.token - a.token)) {
      if (hold.token === 0) break;
      const next = isAlone(hold) ? first : firstAlone;
      if (next !== undefined && hold.to > next.from && !overlap(hold, next)) {
        const end = this.endOf(key, hold, next.from);
        if (end !== undefined) this.allow([end.why], 'after a successor');
        else this.violated('successor', `${key}: ${shown(hold)}, after ${shown(next)}.`);
      }
      first = earlier(hold, first);
      if (isAlone(hold)) firstAlone = earlier(hold, firstAlone);
    }
  }

  private checkTokens(key: string, holds: readonly Hold[]): void {
    const seen = new Map<number, Hold>();
    let largest: Hold | undefined;
    let before = 0;
    for (const hold of holds.toSorted((a, b) => a.since - b.since)) {
      if (hold.token === 0) continue;
      const same = seen.get(hold.token);
      if (same !== undefined) this.violated('tokens', `${key}: ${shown(hold)} and ${shown(same)}.`);
      seen.set(hold.token, hold);
      for (; (holds[before]?.from ?? Infinity) < hold.since; before++) {
        const one = holds[before] as Hold;
        if (largest === undefined || one.token > largest.token) largest = one;
      }
      if (largest !== undefined && hold.token < largest.token) {
        this.violated('tokens', `${key}: ${shown(hold)} was asked for after ${shown(largest)}.`);
      }
    }
  }

  /** Kept from its grant on, which was after it was asked for, and after whoever it waited for. */
  private checkHoldAtLeast(key: string, holds: readonly Hold[]): void {
    let before = 0;
    for (const [index, hold] of holds.entries()) {
      const next = holds[index + 1];
      if (next === undefined || this.endOf(key, hold, next.from) !== undefined) continue;
      const kept = Math.max(hold.askedAt, before) + hold.atLeast;
      before = Math.max(before, hold.to);
      if (hold.atLeast > 0 && exclude([hold, next]) && next.from < kept) {
        this.violated('holdAtLeast', `${key}: ${shown(next)}, but kept until ${ms(kept)}.`);
      }
    }
  }

  private checkTold(key: string, holds: readonly Hold[]): void {
    const { ttl } = this.rules;
    const long = holds.filter(({ from, to }) => to - from > ttl);
    for (const end of this.ends.get(key) ?? []) {
      if (!end.sure) continue;
      for (const hold of long) {
        if (!ends(end, hold) || hold.from >= end.from || hold.to <= end.at + ttl) continue;
        this.violated('told in time', `${key}: ${shown(hold)}, but ${end.why} by ${ms(end.at)}.`);
      }
    }
  }

  private checkReasons(): void {
    for (const { call, reason, at } of this.lost) {
      const why = REASONS[reason];
      if (why === undefined) continue;
      const { id, owner, askedAt } = call;
      const ended = call.wants.some(({ key }, index) => {
        const about = call.holds[index] ?? { call: id, owner: owner ?? '', since: askedAt };
        const may = (end: EarlyEnd): boolean => why.includes(end.why) && ends(end, about);
        return this.endsOf(key).some((end) => may(end) && end.from <= at);
      });
      if (!ended) {
        const keys = call.wants.map(({ key }) => key).join(' and ');
        this.violated('reason', `${keys}: ${id} was lost as ${reason} at ${ms(at)} by nobody.`);
      }
    }
  }

  private checkWrites(): void {
    for (const [key, writes] of this.writes) {
      const sorted = writes.toSorted((a, b) => a.count - b.count || a.token - b.token);
      for (const [index, write] of sorted.entries()) {
        const next = sorted[index + 1];
        if (next === undefined) continue;
        if (next.count === write.count || next.token < write.token) {
          const both = `${write.count} by ${write.token} and ${next.count} by ${next.token}`;
          this.violated('lost update', `${key}: ${both} were written.`);
        }
      }
    }
  }

  /**
   * What may have ended a lease before `at`, which its holder may not know yet: it could not be renewed
   * after that, and so was over for its holder a ttl later at the latest.
   */
  private endOf(key: string, hold: Hold, at: number): EarlyEnd | undefined {
    return this.endsOf(key).find(
      (end) => ends(end, hold) && end.from <= at && hold.to <= end.at + this.rules.ttl,
    );
  }

  private endsOf(key: string): readonly EarlyEnd[] {
    return [...this.everywhere, ...(this.ends.get(key) ?? [])];
  }

  private allow(why: Iterable<string>, what: string): void {
    const name = `${what}: ${[...why].toSorted().join(' and ')}`;
    this.allowed[name] = (this.allowed[name] ?? 0) + 1;
  }

  private violated(rule: Rule, message: string): void {
    this.violations.push({ rule, message });
  }
}

type Asked = Extract<Event, { what: 'asked' }>;
type Granted = Extract<Event, { what: 'granted' }>;
type Exited = Extract<Event, { what: 'exited' }>;

/** What must have been for a loss to be told with a reason. */
const REASONS: Readonly<Record<string, readonly EarlyEnd['why'][]>> = {
  forced: ['forced'],
  superseded: ['superseded'],
  stolen: ['forced', 'superseded', 'forgotten'],
  evicted: ['forced', 'superseded', 'forgotten'],
};

/** Whether it may have ended a lease of an acquisition. */
const ends = (end: EarlyEnd, one: Pick<Hold, 'call' | 'owner' | 'since'>): boolean =>
  end.by !== one.call &&
  end.at >= one.since &&
  (end.owner === undefined || end.owner === one.owner);

const isAlone = ({ weight, limit, shared }: Want): boolean => !shared && weight >= limit;

/** Whether so many may not hold a key at once. */
function exclude(holds: readonly Hold[]): boolean {
  const several = holds.filter(({ shared }) => !shared);
  const weight = several.reduce((sum, one) => sum + one.weight, 0);
  const limit = Math.min(...several.map((one) => one.limit));
  return weight > limit || (several.length > 0 && several.length < holds.length);
}

const processOf = (id: CallId): number => Number.parseInt(id, 10);

const overlap = (a: Hold, b: Hold): boolean => a.from < b.to && b.from < a.to;

const ms = (time: number): string => time.toFixed(2);

function shown({ call, token, weight, limit, shared, from, to }: Hold): string {
  const kind = shared ? ' (a reader)' : limit > 1 ? ` (${weight} of ${limit})` : '';
  return `${call} with ${token}${kind} from ${ms(from)} to ${ms(to)}`;
}

function listOf<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key);
  if (list === undefined) {
    list = [];
    map.set(key, list);
  }
  return list;
}
