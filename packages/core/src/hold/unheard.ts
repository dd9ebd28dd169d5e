import { LockLostError } from '../errors.ts';
import type { LockSettings } from '../options.ts';
import type { Signalling } from './signal.ts';

export const LOSS_UNHEARD =
  'A lock was lost, and nobody could know: its holder goes on without it. Pass `lock.signal` to the work, ' +
  'or give `onLost` or `throwIfLost`, or listen to the event `lost`.';

/** A handle that was lost. */
interface LostHandle extends Signalling {
  readonly settings: LockSettings;
  readonly running: boolean;
}

/**
 * Whether nobody can know of a loss. One that asked for the signal may look at it at any time.
 *
 * @param renewed whether the lock was renewed to its end; otherwise it ran out as somebody had asked
 */
export function isUnheard(
  { ended, settings, controller, running }: LostHandle,
  renewed: boolean,
): boolean {
  const { onLost, throwIfLost, context } = settings;
  if (!(ended instanceof LockLostError) || controller !== undefined || onLost !== undefined) {
    return false;
  }
  if (ended.reason === 'expired' && !renewed) return false;
  // Whoever closes a locker knows.
  if (ended.reason === 'closed') return false;
  return !(throwIfLost && running) && !context.events.heard('lost');
}
