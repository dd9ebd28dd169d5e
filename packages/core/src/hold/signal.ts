import { setMaxListeners } from 'node:events';
import { LockLostError, LockReleasedError } from '../errors.ts';
import type { Notices } from '../util/notices.ts';
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

/**
 * The signal of a handle, made when it is first asked for. It is aborted at once if there is a reason: for
 * whoever asks, and where the holder has released the lock or has aborted.
 */
export function signalOf(handle: Signalling): AbortSignal {
  const controller = (handle.controller ??= newController());
  if (!controller.signal.aborted) abort(controller, abortReason(handle));
  return controller.signal;
}

function newController(): AbortController {
  const controller = new AbortController();
  // Work may fan out: as many listen as there are parts of it, and Node is not to take that for a leak.
  setMaxListeners(0, controller.signal);
  return controller;
}

/** Aborts the signal, if anybody has it, for whatever has happened to the handle. */
export function fireSignal(handle: Signalling, notices: Notices): void {
  const { controller } = handle;
  if (controller === undefined || controller.signal.aborted) return;
  const reason = abortReason(handle);
  notices.add(() => abort(controller, reason));
}

/** `undefined` while the handle is held and its caller has not aborted. */
function abortReason(handle: Signalling): unknown {
  const { callerSignal } = handle;
  return endReason(handle) ?? (callerSignal?.aborted === true ? callerSignal.reason : undefined);
}

function abort(controller: AbortController, reason: unknown): void {
  if (reason !== undefined) controller.abort(reason);
}
