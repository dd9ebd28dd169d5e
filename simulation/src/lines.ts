import { REGISTRATION, RESERVATION } from '@holdfast/core';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** A client's place in the line for a key. */
interface Place {
  until: number;
  /** Woken, it has its turn until then. */
  turnUntil: number;
  /** It let its place run out and came back: where it stands now depends on who looked meanwhile. */
  readonly excused: boolean;
}

/** Who stands in which line at the server, known from the requests alone: nobody is to be overtaken. */
export class Lines {
  private readonly lines = new Map<string, Map<string, Place>>();
  private readonly gone = new Set<string>();
  /** During one request, which is noted before them. */
  private wakeUps: { readonly key: string; readonly client: string }[] = [];

  constructor(private readonly world: World) {}

  register(key: string, client: string): void {
    const { now } = this.world;
    const line = this.of(key);
    const place = line.get(client);
    const until = now + REGISTRATION;
    if (place !== undefined && (now < place.turnUntil || (place.until > now && !place.turnUntil))) {
      place.until = until;
      return;
    }
    line.delete(client);
    line.set(client, { until, turnUntil: 0, excused: place !== undefined });
  }

  remove(key: string, client: string): void {
    this.lines.get(key)?.delete(client);
  }

  /** A client listens no more: nobody hears when it is woken. */
  leaves(client: string): void {
    this.gone.add(client);
  }

  woken(key: string, client: string): void {
    this.wakeUps.push({ key, client });
  }

  /** A request has been noted: those whom it woke come next. */
  wakeUpsAreOver(): void {
    for (let first = this.wakeUps.shift(); first !== undefined; first = this.wakeUps.shift()) {
      const { key, client } = first;
      const place = this.of(key).get(client);
      // It was served by that very request.
      if (place === undefined) continue;
      this.served(key, client);
      place.turnUntil = this.world.now + RESERVATION;
    }
  }

  /** A client gets the key, or its turn. */
  served(key: string, client: string): void {
    const { now } = this.world;
    const line = this.of(key);
    const own = line.get(client);
    if (own !== undefined && (own.excused || own.turnUntil > 0)) return;
    const wakeUps = this.wakeUps.filter((one) => one.key === key);
    const woken = new Set(wakeUps.map((one) => one.client));
    for (const [other, { until, turnUntil, excused }] of line) {
      if (other === client) return;
      // It got its turn in the same request.
      if (woken.has(other)) continue;
      if (until <= now || turnUntil > 0 || excused || this.gone.has(other)) continue;
      this.world.fail(
        new Violation('overtaking', `${other} waits for ${key}, and ${client} is served`),
      );
    }
  }

  private of(key: string): Map<string, Place> {
    const line = this.lines.get(key) ?? new Map<string, Place>();
    this.lines.set(key, line);
    return line;
  }
}
