/** So many vacated places may stay before they are given up. */
const SPARE_PLACES = 64;

/**
 * A map by stored key, for entries that come and go one at a time. V8 gives a `Map` that shrinks and
 * grows new tables all the time, which costs more than all the rest of an uncontended lock; so an
 * entry that goes leaves its place for a while.
 */
export class SlotMap<V> {
  private places = new Map<string, V | undefined>();
  /** How many entries there are; it is changed here alone. */
  size = 0;

  get(key: string): V | undefined {
    // Often there is nothing at all, which shows without a look at the key.
    return this.size === 0 ? undefined : this.places.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** @returns what was there before */
  set(key: string, value: V): V | undefined {
    const before = this.size === 0 ? undefined : this.places.get(key);
    if (before === undefined) this.size += 1;
    this.places.set(key, value);
    return before;
  }

  delete(key: string): void {
    if (this.has(key)) this.vacate(key);
  }

  /** As {@link delete}, for a key that is known to be there. */
  vacate(key: string): void {
    this.places.set(key, undefined);
    this.size -= 1;
    const vacant = this.places.size - this.size;
    if (vacant > SPARE_PLACES && vacant > this.size) this.tidy();
  }

  /**
   * Also keys without an entry, and not all that come while this is walked; what is there all the
   * while comes up.
   */
  keys(): IterableIterator<string> {
    return this.places.keys();
  }

  /** What is removed while this is walked may still come up. */
  *entries(): IterableIterator<[string, V]> {
    for (const [key, value] of this.places) if (value !== undefined) yield [key, value];
  }

  *values(): IterableIterator<V> {
    for (const value of this.places.values()) if (value !== undefined) yield value;
  }

  private tidy(): void {
    const places = new Map<string, V | undefined>();
    for (const [key, value] of this.entries()) places.set(key, value);
    this.places = places;
  }
}
