import type { ClientWatcher } from './port.ts';

/**
 * Those who are told what becomes of a client's connection. A client gets one listener per event,
 * however many stores share it: more than ten Node takes for a leak, and says so.
 */
export class Watchers {
  private readonly all = new Set<ClientWatcher>();
  private unlisten: (() => void) | undefined;

  /** @param listen listens to the client, as long as anybody is to be told; returns what ends it */
  constructor(private readonly listen: () => () => void) {}

  /** @returns ends it */
  add(watcher: ClientWatcher): () => void {
    this.all.add(watcher);
    this.unlisten ??= this.listen();
    return () => {
      if (!this.all.delete(watcher) || this.all.size > 0) return;
      this.unlisten?.();
      this.unlisten = undefined;
    };
  }

  tell(...events: (keyof ClientWatcher)[]): void {
    for (const event of events) for (const watcher of this.all) watcher[event]?.();
  }
}

interface Emitter {
  // The listener's arguments depend on the event.
  // oxlint-disable-next-line typescript/no-explicit-any
  on(event: string, listener: (...args: any[]) => void): unknown;
  // oxlint-disable-next-line typescript/no-explicit-any
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** Listens to events of a client. @returns ends it */
export function listenTo(client: Emitter, events: Record<string, () => void>): () => void {
  for (const [event, listener] of Object.entries(events)) client.on(event, listener);
  return () => {
    for (const [event, listener] of Object.entries(events)) client.off(event, listener);
  };
}
