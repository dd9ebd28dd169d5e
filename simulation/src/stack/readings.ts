import type { Dataset } from './dataset.ts';
import { grantsOf, type Held } from './grants.ts';
import type { StackServer } from './stack-server.ts';
import type { SlotMap } from './slot-map.ts';

interface Reading {
  readonly held: readonly Held[];
  /** Of the data that it was read from. */
  readonly version: number;
  /** The first of the keys that were read is gone after that, by the server's clock. */
  readonly until: number;
}

/** Who holds a lock, as a server has it. Its keys are read again when something has been written there. */
export class Readings {
  private readonly readings = new Map<Dataset, Map<string, Reading>>();

  constructor(private readonly slots: SlotMap | undefined) {}

  heldOn(server: StackServer, lock: string): readonly Held[] {
    const { data } = server;
    // Its keys may be on two servers.
    if (this.slots?.isMoving(lock) === true) return grantsOf(lock, this.readerOf(server));
    let readings = this.readings.get(data);
    if (readings === undefined) this.readings.set(data, (readings = new Map()));
    const reading = readings.get(lock);
    if (reading?.version === data.version && server.now() <= reading.until) return reading.held;
    let until = Infinity;
    const held = grantsOf(lock, (key) => {
      const value = data.get(key);
      until = Math.min(until, data.expiryOf(key) ?? Infinity);
      return value;
    });
    readings.set(lock, { held, version: data.version, until });
    return held;
  }

  private readerOf({ data }: StackServer): (key: string) => unknown {
    return (key) => data.get(key) ?? this.slots?.serverOf(key).data.get(key);
  }
}
