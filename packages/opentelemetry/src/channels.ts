import type { LockEvents } from '@holdfast/core';
import { diag } from '@opentelemetry/api';
import { channel } from 'node:diagnostics_channel';

/** Of this package, as what measures. */
export const NAME = '@holdfast/opentelemetry';

/** What is to be done at each event. */
export type Listeners = { readonly [E in keyof LockEvents]?: (payload: LockEvents[E]) => void };

/**
 * Listens to the events of all lockers of this process.
 *
 * @returns ends it
 */
export function subscribe(listeners: Listeners): () => void {
  const ends = Object.entries(listeners).map(([event, listener]) => {
    const on = channel(`holdfast:${event}`);
    // What a subscriber throws would end the process.
    const guarded = (payload: unknown): void => {
      try {
        (listener as (payload: unknown) => void)(payload);
      } catch (error) {
        diag.error(`${NAME}: The event '${event}' was not recorded.`, error);
      }
    };
    on.subscribe(guarded);
    return () => on.unsubscribe(guarded);
  });
  return () => ends.forEach((end) => end());
}
