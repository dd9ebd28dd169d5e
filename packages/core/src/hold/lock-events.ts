import { LockLostError } from '../errors.ts';
import type { AsyncContext, HeldLockEvent } from '../events.ts';
import type { LockSettings } from '../options.ts';
import type { Lock } from '../types.ts';
import { unlisten } from '../util/abort-listeners.ts';
import type { HandleInternals } from './handle.ts';
import { Released } from './lease.ts';
import { fireSignal, newController, type Signalling } from './signal.ts';

const LOSS_UNHEARD =
  'A lock was lost, and nobody could know: its holder goes on without it. Pass `lock.signal` to the work, ' +
  'or give `onLost` or `throwIfLost`, or listen to the event `lost`.';

/** A handle, of one key or of several. */
interface LockState extends Lock, Signalling {
  settings: LockSettings;
  readonly grantedAt: number;
  readonly running: boolean;
  ended: LockLostError | Released | undefined;
  handleEvent(): void;
}

/** A lock as the engine knows it. */
export type Handle = LockState & HandleInternals;

/** What every event about a held lock tells. */
export function eventOf(lock: Lock): Omit<HeldLockEvent, 'locker' | 'store'> {
  const { key, keys, label, owner, fencingToken } = lock;
  return { key, keys, label, owner, fencingToken };
}

/** Tells of a grant, after `waited` ms; `waiter`: if it was told to wait, its number. */
export function announce(
  lock: LockState,
  waited: number,
  waiter?: number,
  within?: AsyncContext,
): void {
  const { events } = lock.settings.context;
  if (!events.heard('acquired')) return;
  const about = { ...eventOf(lock), waited, waiter };
  events.emit('acquired', about, within ?? events.contextOfCall());
}

/** The caller's own abort, of whose lock the renewal has ended. */
export function tellAborted(lock: LockState): void {
  // Made now if need be, so that a later release does not become its reason.
  lock.controller ??= newController();
  fireSignal(lock, lock.settings.context.notices);
}

/** From now on a lock is released. */
export function endReleased(lock: LockState, now: number): void {
  const { context, signal } = lock.settings;
  if (signal !== undefined) unlisten(signal, lock);
  lock.ended = Released.done;
  if (lock.controller !== undefined) fireSignal(lock, context.notices);
  if (!context.events.heard('released')) return;
  context.events.emit('released', { ...eventOf(lock), heldFor: now - lock.grantedAt });
}

/**
 * From now on a lock is lost.
 *
 * @param renewed whether it was renewed to its end
 */
export function endLost(lock: LockState, error: LockLostError, renewed: boolean): void {
  const { context, onLost, signal } = lock.settings;
  const { events, notices } = context;
  lock.ended = error;
  unlisten(signal, lock);
  fireSignal(lock, notices);
  if (events.heard('lost')) {
    const { reason, heldFor } = error;
    events.emit('lost', { ...eventOf(lock), reason, heldFor });
  }
  if (onLost !== undefined) events.call(() => onLost(error));
  if (isUnheard(lock, renewed)) events.warn('HOLDFAST_LOSS_UNHEARD', LOSS_UNHEARD);
}

/**
 * Whether nobody can know of a loss. One that asked for the signal may look at it at any time.
 *
 * @param renewed whether the lock was renewed to its end; otherwise it ran out as somebody had asked
 */
function isUnheard({ ended, settings, controller, running }: LockState, renewed: boolean): boolean {
  const { onLost, throwIfLost, context } = settings;
  if (!(ended instanceof LockLostError) || controller !== undefined || onLost !== undefined) {
    return false;
  }
  if (ended.reason === 'expired' && !renewed) return false;
  // Whoever closes a locker knows.
  if (ended.reason === 'closed') return false;
  return !(throwIfLost && running) && !context.events.heard('lost');
}
