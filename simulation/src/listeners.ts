import { channel } from 'node:diagnostics_channel';
import type { LockEvents } from '@holdfast/core';
import type { Process } from './process.ts';

export const EVENTS = [
  'acquired',
  'waiting',
  'not-acquired',
  'renewed',
  'lost',
  'released',
  'handoff',
  'store-error',
] as const satisfies readonly (keyof LockEvents)[];

/** Listens on the diagnostics channels for processes, which are told apart by the names of their lockers. */
export function listenOnChannels(processes: readonly Process[]): () => void {
  const ends = EVENTS.map((event) => {
    const subscribed = channel(`holdfast:${event}`);
    const hear = (message: unknown): void => {
      const { locker } = message as { locker: string };
      processes.find(({ name }) => name === locker)?.misbehave('channel');
    };
    subscribed.subscribe(hear);
    return () => subscribed.unsubscribe(hear);
  });
  return () => {
    for (const end of ends) end();
  };
}
