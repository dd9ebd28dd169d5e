import { LockLostError, type Lock } from '@holdfast/core';

/** What a lock that runs out does to the work under it. */
export interface Hazard {
  /** The work should stop: asked once. */
  terminate(why: LossOrRisk): void;
  /** Nobody may work any more: the lock can soon be another's. */
  kill(): void;
}

/** `late`: not lost yet, but no renewal was confirmed for so long that it is about to be. */
type LossOrRisk = LockLostError['reason'] | 'late';

/** The longest that work is given to stop, in ms. */
const LONGEST_GRACE = 5_000;

/**
 * Watches a lock for work that cannot hear its signal. The work is asked to stop while a quarter of the
 * lease is still left, and killed at the signal point, a safety margin before anybody else can have the
 * lock. What is lost without a warning (an operator released it, its owner took it over) leaves no time
 * to begin with: there the grace is what the work gets.
 *
 * @returns ends it
 */
export function watchDeadline(lock: Lock, maxHold: number, hazard: Hazard): () => void {
  const grace = Math.min(lock.remaining / 4, LONGEST_GRACE);
  const grantedAt = performance.now();
  let asked = false;
  let timer: NodeJS.Timeout | undefined;
  /** When the signal point was, as it was last known. */
  let signalPoint = grantedAt + lock.remaining;

  const terminate = (why: LossOrRisk): void => {
    if (asked) return;
    asked = true;
    hazard.terminate(why);
  };
  const look = (): void => {
    const now = performance.now();
    const renewed = lock.remaining;
    if (renewed > 0) signalPoint = now + renewed;
    const untilLate = renewed - grace;
    const untilMaxHold = grantedAt + maxHold - now - Math.min(grace, maxHold / 4);
    const soonest = Math.min(untilLate, untilMaxHold);
    if (soonest > 0) {
      timer = setTimeout(look, Math.min(soonest, 2 ** 30));
      return;
    }
    terminate(untilLate <= untilMaxHold ? 'late' : 'max-hold');
    // Even if a renewal is confirmed after all: what was asked to stop may be half done.
    const left = Math.min(renewed, grantedAt + maxHold - now);
    timer = setTimeout(() => hazard.kill(), left);
  };
  const lost = (): void => {
    clearTimeout(timer);
    const { reason } = lock.signal;
    if (!(reason instanceof LockLostError)) return;
    const hadNotice = asked;
    terminate(reason.reason);
    if (reason.reason === 'expired' || hadNotice) {
      hazard.kill();
      return;
    }
    // The lease runs on after `max-hold`, but is not renewed any more.
    const left = reason.reason === 'max-hold' ? signalPoint - performance.now() : grace;
    timer = setTimeout(() => hazard.kill(), Math.max(0, Math.min(grace, left)));
  };

  if (lock.signal.aborted) lost();
  else lock.signal.addEventListener('abort', lost, { once: true });
  if (!asked) look();
  return () => {
    clearTimeout(timer);
    lock.signal.removeEventListener('abort', lost);
  };
}
