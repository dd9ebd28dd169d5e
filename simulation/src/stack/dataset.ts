/** A sorted set: by member, its score. */
export class SortedSet {
  private readonly scores: Map<string, number>;
  private order: readonly string[] | undefined;

  constructor(scores: Iterable<readonly [string, number]> = []) {
    this.scores = new Map(scores);
  }

  get size(): number {
    return this.scores.size;
  }

  get(member: string): number | undefined {
    return this.scores.get(member);
  }

  /** @returns whether the member is a new one */
  set(member: string, score: number): boolean {
    const isNew = !this.scores.has(member);
    this.scores.set(member, score);
    this.order = undefined;
    return isNew;
  }

  delete(member: string): boolean {
    this.order = undefined;
    return this.scores.delete(member);
  }

  /** The members by their scores, and by their bytes where these are the same. */
  sorted(): readonly string[] {
    this.order ??= [...this.scores]
      .toSorted(([one, a], [other, b]) => a - b || (one < other ? -1 : 1))
      .map(([member]) => member);
    return this.order;
  }

  copy(): SortedSet {
    return new SortedSet(this.scores);
  }
}

/** An item of memcached. It is never changed, only replaced. */
export class Item {
  constructor(
    readonly value: string,
    readonly flags: number,
    readonly cas: number,
    /** In s, as the server counts them: gone when its clock has come to this; 0 for never. */
    readonly ends: number,
  ) {}
}

export type Value = string | SortedSet | Map<string, string> | Item;

interface Entry {
  value: Value;
  /** In ms since 1970 by the server's clock. */
  expiresAt: number | undefined;
}

/** One key as it is, for a replica; `undefined` where it is gone. */
export interface Change {
  readonly key: string;
  readonly entry: Readonly<Entry> | undefined;
}

/** What a server holds. Keys whose time has come are gone when they are looked at. */
export class Dataset {
  private readonly entries = new Map<string, Entry>();
  /** Those that have been written since {@link takeChanges}. */
  private readonly written = new Set<string>();
  /** Another one after each write. */
  version = 0;

  /** @param now in ms since 1970 by the server's clock */
  constructor(private readonly now: () => number) {}

  get(key: string): Value | undefined {
    return this.find(key)?.value;
  }

  has(key: string): boolean {
    return this.find(key) !== undefined;
  }

  expiryOf(key: string): number | undefined {
    return this.find(key)?.expiresAt;
  }

  /** All that have not run out. */
  keys(): string[] {
    return [...this.entries.keys()].filter((key) => this.has(key));
  }

  set(key: string, value: Value, expiresAt: number | undefined): void {
    this.entries.set(key, { value, expiresAt });
    this.wrote(key);
  }

  expireAt(key: string, at: number): void {
    const entry = this.find(key);
    if (entry === undefined) return;
    entry.expiresAt = at;
    this.wrote(key);
  }

  /** A value has been changed where it is. One that is empty is none. */
  changed(key: string, value: SortedSet | Map<string, string>): void {
    if (value.size === 0) this.entries.delete(key);
    this.wrote(key);
  }

  delete(key: string): boolean {
    if (!this.has(key)) return false;
    this.entries.delete(key);
    this.wrote(key);
    return true;
  }

  clear(): void {
    for (const key of this.entries.keys()) this.wrote(key);
    this.entries.clear();
  }

  /** Whether something has been written. */
  get dirty(): boolean {
    return this.written.size > 0;
  }

  takeChanges(): Change[] {
    const changes = [...this.written].map((key) => this.copyOf(key));
    this.written.clear();
    return changes;
  }

  /** All of it, for a replica or a file. */
  snapshot(): Change[] {
    return [...this.entries.keys()].map((key) => this.copyOf(key));
  }

  apply({ key, entry }: Change): void {
    this.version += 1;
    if (entry === undefined) this.entries.delete(key);
    else this.entries.set(key, copy(entry));
  }

  copyOf(key: string): Change {
    const entry = this.entries.get(key);
    return { key, entry: entry && copy(entry) };
  }

  private find(key: string): Entry | undefined {
    const entry = this.entries.get(key);
    if (entry?.expiresAt === undefined || entry.expiresAt >= this.now()) return entry;
    this.entries.delete(key);
    this.wrote(key);
    return undefined;
  }

  private wrote(key: string): void {
    this.version += 1;
    this.written.add(key);
  }
}

function copy({ value, expiresAt }: Readonly<Entry>): Entry {
  if (value instanceof SortedSet) return { value: value.copy(), expiresAt };
  return { value: value instanceof Map ? new Map(value) : value, expiresAt };
}
