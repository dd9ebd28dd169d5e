/** Who is told of an abort; it may call back into this module. */
interface Aborted {
  handleEvent(): void;
}

/**
 * All who are told of the abort of one signal. A service may pass its shutdown signal to every lock
 * that it takes, and Node warns of more than ten listeners: together they are one.
 */
class Listeners implements Aborted {
  readonly all = new Set<Aborted>();

  handleEvent(): void {
    // Those who leave meanwhile are not told, and those who come are.
    for (const one of this.all) one.handleEvent();
  }
}

const listening = new WeakMap<AbortSignal, Listeners>();

export function listen(signal: AbortSignal | undefined, aborted: Aborted): void {
  if (signal === undefined) return;
  let listeners = listening.get(signal);
  if (listeners === undefined) {
    listeners = new Listeners();
    listening.set(signal, listeners);
    signal.addEventListener('abort', listeners, { once: true });
  }
  listeners.all.add(aborted);
}

export function unlisten(signal: AbortSignal | undefined, aborted: Aborted): void {
  const listeners = signal === undefined ? undefined : listening.get(signal);
  if (signal === undefined || listeners === undefined) return;
  listeners.all.delete(aborted);
  if (listeners.all.size > 0) return;
  listening.delete(signal);
  signal.removeEventListener('abort', listeners);
}
