/** What is in a {@link LinkedList}: it carries its own links, so that it can leave from anywhere at once. */
export interface Linked<T> {
  previous: T | undefined;
  next: T | undefined;
}

/** A list in the order of coming, for what comes and goes often. */
export class LinkedList<T extends Linked<T>> {
  first: T | undefined = undefined;
  last: T | undefined = undefined;
  size = 0;

  append(one: T): void {
    one.previous = this.last;
    if (this.last === undefined) this.first = one;
    else this.last.next = one;
    this.last = one;
    this.size += 1;
  }

  /** Only what is in this list may be removed from it. */
  remove(one: T): void {
    const { previous, next } = one;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    one.previous = undefined;
    one.next = undefined;
    this.size -= 1;
  }
}
