import { useEffect, useRef, useState } from 'preact/hooks';
import type { BoardState, LockPageReply, LockRow } from '../src/protocol.ts';
import { count, duration, heldBy } from './format.ts';
import { page } from './server.ts';

/** All that is held, page by page. */
export function LockTable({
  state,
  choose,
}: {
  state: BoardState;
  choose: (row: LockRow) => void;
}) {
  const listable = state.lockers.filter(({ held }) => held !== undefined);
  const [locker, setLocker] = useState(listable[0]?.id);
  const [filter, setFilter] = useState('');
  /** The cursors of the pages up to this one. */
  const [trail, setTrail] = useState<readonly (string | undefined)[]>([undefined]);
  const [reply, setReply] = useState<LockPageReply>();
  const [error, setError] = useState<string>();
  const input = useRef<HTMLInputElement>(null);
  const asking = useRef(false);
  const cursor = trail.at(-1);

  const load = (isWanted: () => boolean): void => {
    if (locker === undefined || document.hidden) return;
    asking.current = true;
    page(locker, filter, cursor)
      .then((found) => {
        if (!isWanted()) return;
        setReply(found);
        setError(undefined);
      })
      .catch((failure: Error) => isWanted() && setError(failure.message))
      .finally(() => (asking.current = false));
  };
  // At once where something else is wanted, and with each picture.
  useEffect(() => {
    let wanted = true;
    const timer = setTimeout(() => load(() => wanted), filter === '' ? 0 : 200);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [locker, filter, cursor]);
  useEffect(() => {
    let wanted = true;
    if (!asking.current) load(() => wanted);
    return () => void (wanted = false);
  }, [state.now]);
  useEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      const typing =
        event.target instanceof HTMLInputElement || document.querySelector('dialog[open]');
      if (event.key !== '/' || typing) return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener('keydown', focus);
    return () => document.removeEventListener('keydown', focus);
  }, []);

  // In no order on the server: on a page, the longest held first.
  const locks = (reply?.locks ?? []).toSorted((a, b) => (a.since ?? 0) - (b.since ?? 0));
  const from = (trail.length - 1) * 100;
  return (
    <section class="all" aria-labelledby="all-title">
      <h2 id="all-title">All locks</h2>
      <form role="search" onSubmit={(event) => event.preventDefault()}>
        {listable.length > 1 && (
          <select
            aria-label="Locker"
            onChange={({ currentTarget }) => {
              setLocker(currentTarget.value);
              setTrail([undefined]);
            }}
          >
            {listable.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        )}
        <input
          ref={input}
          type="search"
          aria-label="Filter by key or holder"
          placeholder="Filter by key or holder ( / )"
          value={filter}
          onInput={({ currentTarget }) => {
            setFilter(currentTarget.value);
            setTrail([undefined]);
          }}
        />
      </form>
      {error !== undefined && <p class="error">{error}</p>}
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">Holder</th>
              <th scope="col" class="number">
                Held for
              </th>
              <th scope="col" class="number">
                Left
              </th>
              <th scope="col" class="number">
                Waiting
              </th>
              <th scope="col" class="number">
                Token
              </th>
            </tr>
          </thead>
          <tbody>
            {locks.map((row) => (
              <tr key={row.id} class={row.waiters > 0 ? 'wanted' : ''}>
                <th scope="row">
                  <button type="button" class="key" onClick={() => choose(row)}>
                    {row.key}
                  </button>
                </th>
                <td class="label">{heldBy(row)}</td>
                <td class="number">
                  {row.since === undefined ? '?' : duration(state.now - row.since)}
                </td>
                <td class="number">
                  {row.remaining === undefined ? '?' : duration(row.remaining)}
                </td>
                <td class="number">{row.waiters === 0 ? '' : row.waiters}</td>
                <td class="number token">{row.token}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {reply !== undefined && locks.length === 0 && (
        <p class="empty">{filter === '' ? 'Nothing is held.' : 'Nothing on this page matches.'}</p>
      )}
      <nav aria-label="Pages">
        <button
          type="button"
          disabled={trail.length === 1}
          onClick={() => setTrail(trail.slice(0, -1))}
        >
          Back
        </button>
        <span role="status">
          Page {trail.length}
          {locks.length > 0 && filter === '' ? `, from ${from + 1}` : ''},{' '}
          {count(locks.length, 'lock')}
        </span>
        <button
          type="button"
          disabled={reply?.cursor === undefined}
          onClick={() => setTrail([...trail, reply?.cursor])}
        >
          Next
        </button>
      </nav>
    </section>
  );
}
