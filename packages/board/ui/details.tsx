import { useEffect, useRef, useState } from 'preact/hooks';
import type { LockDetails, LockRow } from '../src/protocol.ts';
import { duration } from './format.ts';
import { details, release } from './server.ts';

/** One lock: who holds it, who waits, and for those who may, its release. */
export function DetailsDialog({ row, close }: { row: LockRow; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [lock, setLock] = useState<LockDetails | 'free'>();
  const [error, setError] = useState<string>();
  const [at, setAt] = useState(Date.now());

  useEffect(() => {
    dialog.current?.showModal();
    const look = (): void => {
      details(row).then(
        (found) => {
          setLock(found ?? 'free');
          setAt(Date.now());
          setError(undefined);
        },
        (failure: Error) => setError(failure.message),
      );
    };
    look();
    const timer = setInterval(look, 1_000);
    return () => clearInterval(timer);
  }, []);

  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="details-title">
      <h2 id="details-title" class="key">
        {row.key}
      </h2>
      {error !== undefined && <p class="error">{error}</p>}
      {lock === undefined && error === undefined && <p>Looking …</p>}
      {lock === 'free' && <p>It is free.</p>}
      {lock !== undefined && lock !== 'free' && <Facts lock={lock} now={at} />}
      {lock !== undefined && lock !== 'free' && lock.mayRelease && <ReleaseForm lock={lock} />}
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

function Facts({ lock, now }: { lock: LockDetails; now: number }) {
  const { heldBy, queue, waiters } = lock;
  const ago = (then: number): string => duration(now - then);
  return (
    <>
      {heldBy.map(({ label, since, remaining, token }) => (
        <dl key={token}>
          <dt>Holder</dt>
          <dd>{label}</dd>
          <dt>Held for</dt>
          <dd>{since === undefined ? '?' : ago(since)}</dd>
          <dt>Left</dt>
          <dd>{remaining === undefined ? '?' : `${duration(remaining)}, unless it is renewed`}</dd>
          <dt>Fencing token</dt>
          <dd>{token}</dd>
        </dl>
      ))}
      <h3>{waiters === 0 ? 'Nobody waits' : `Waiting: ${waiters}`}</h3>
      <ol class="queue">
        {queue.map((waiter, index) => (
          <li key={`${index} ${waiter.label}`}>
            {waiter.label} <span class="number">for {ago(waiter.since)}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

function ReleaseForm({ lock: { locker, id, holders = 1 } }: { lock: LockDetails }) {
  const one = holders === 1;
  const done = one ? 'Released. Its holder is told.' : 'Released. All its holders are told.';
  const [reason, setReason] = useState('');
  const [outcome, setOutcome] = useState<string>();
  const send = (event: Event): void => {
    event.preventDefault();
    release({ locker, id, reason }).then(
      (released) => setOutcome(released ? done : 'It was free already.'),
      (failure: Error) => setOutcome(failure.message),
    );
  };
  return (
    <form class="release" onSubmit={send}>
      <h3>Release it</h3>
      <p class="hint">
        The next in line gets it at once.{' '}
        {one
          ? 'Its holder may still be working until it has heard of it.'
          : `All ${holders} holders lose it, and may still be working until they have heard of it.`}
      </p>
      <label>
        Reason{' '}
        <input
          required
          maxLength={500}
          value={reason}
          onInput={({ currentTarget }) => setReason(currentTarget.value)}
        />
      </label>
      <button type="submit" class="danger">
        Release
      </button>
      <p role="status">{outcome}</p>
    </form>
  );
}
