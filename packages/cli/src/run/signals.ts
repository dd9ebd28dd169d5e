/** What a command under a lock gets as if it had been sent to it. */
const FORWARDED = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
] as const;

/**
 * Takes the signals that are sent to this process.
 *
 * @returns ends it
 */
export function onSignals(forward: (signal: NodeJS.Signals) => void): () => void {
  const ends = FORWARDED.map((signal) => {
    const listener = (): void => forward(signal);
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => ends.forEach((end) => end());
}

/**
 * Stops (Ctrl-Z) this process and what works under its lock together: alone, the work would run on while
 * nobody renews the lock.
 *
 * @returns ends it
 */
export function onStop(
  work: (signal: NodeJS.Signals) => void,
  mayContinue: () => boolean,
): () => void {
  const stop = (): void => {
    work('SIGSTOP');
    process.kill(process.pid, 'SIGSTOP');
  };
  const go = (): void => {
    if (mayContinue()) work('SIGCONT');
  };
  process.on('SIGTSTP', stop);
  process.on('SIGCONT', go);
  return () => {
    process.off('SIGTSTP', stop);
    process.off('SIGCONT', go);
  };
}
