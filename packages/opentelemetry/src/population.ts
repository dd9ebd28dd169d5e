import type { Attributes, ObservableResult } from '@opentelemetry/api';

interface Group {
  readonly attributes: Attributes;
  size: number;
}

/**
 * How many there are now, per set of attributes. Each has an identity, so that one who leaves without having
 * come does not put the numbers wrong for good. Several may have the same.
 */
export class Population<Id> {
  private readonly groups = new Map<string, Group>();
  private readonly members = new Map<Id, Group[]>();

  add(id: Id, attributes: Attributes): void {
    const name = JSON.stringify(attributes);
    let group = this.groups.get(name);
    if (group === undefined) this.groups.set(name, (group = { attributes, size: 0 }));
    group.size += 1;
    const same = this.members.get(id);
    if (same === undefined) this.members.set(id, [group]);
    else same.push(group);
  }

  delete(id: Id): void {
    const same = this.members.get(id);
    const group = same?.shift();
    if (group === undefined) return;
    group.size -= 1;
    if (same?.length === 0) this.members.delete(id);
  }

  /** Also of groups that are empty by now: a gauge that vanishes looks like one that stands still. */
  readonly observe = (result: ObservableResult): void => {
    for (const { attributes, size } of this.groups.values()) result.observe(size, attributes);
  };
}
