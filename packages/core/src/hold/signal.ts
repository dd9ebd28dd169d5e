import { setMaxListeners } from 'node:events';
import { LockLostError, LockReleasedError } from '../errors.ts';
import type { Released } from './lease.ts';

/** The part of a handle that its signal is made from. */
export interface Signalling {
  readonly key: string;
  readonly ended: LockLostError | Released | undefined;
  /** Made when the signal is first asked for: it is the dearest part of a handle. */
  controller: AbortController | undefined;
  /** The caller's own signal. */
  readonly callerSignal: AbortSignal | undefined;
}

/** Why a handle is not held: the reason of its signal and what `assertHeld()` throws. */
export function endReason(handle: Signalling): LockLostError | LockReleasedError | undefined {
  const { ended } = handle;
  if (ended === undefined || ended instanceof LockLostError) return ended;
  return new LockReleasedError({ key: handle.key });
}

export function signalOf(handle: Signalling): AbortSignal {
  if (handle.controller === undefined) {
    handle.controller = new AbortController();
    // Work may fan out: as many listen as there are parts of it, and Node is not to take that for a leak.
    setMaxListeners(0, handle.controller.signal);
    fireSignal(handle);
  }
  return handle.controller.signal;
}

/** Aborts the signal, if anybody has it, for whatever has happened to the handle. */
export function fireSignal(handle: Signalling): void {
  const { controller, callerSignal } = handle;
  if (controller === undefined || controller.signal.aborted) return;
  const reason = endReason(handle);
  if (reason !== undefined) controller.abort(reason);
  else if (callerSignal?.aborted === true) controller.abort(callerSignal.reason);
}
