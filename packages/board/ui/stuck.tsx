import type { BoardState, LockRow } from '../src/protocol.ts';
import { count, duration, heldBy, severity } from './format.ts';

const SHOWN = 8;

/** What is waited for, the worst first: the one thing to look at. */
export function StuckList({
  state,
  choose,
}: {
  state: BoardState;
  choose: (row: LockRow) => void;
}) {
  const { stuck, now } = state;
  if (stuck.length === 0) return null;
  const ageOf = ({ since }: LockRow): number => Math.max(0, now - (since ?? now));
  const longest = Math.max(1, ...stuck.map(ageOf));
  return (
    <section class="wanted-list" aria-labelledby="stuck-title">
      <h2 id="stuck-title">Waited for</h2>
      <ol>
        {stuck.slice(0, SHOWN).map((row) => (
          <li key={`${row.locker} ${row.id}`} class={severity(ageOf(row))}>
            <button type="button" onClick={() => choose(row)}>
              <span class="key">{row.key}</span>
              <span class="held">
                <b>{duration(ageOf(row))}</b> by {heldBy(row)}
              </span>
              <span class="waiters">{count(row.waiters, 'waiter')}</span>
              <span class="bar" style={{ width: `${(100 * ageOf(row)) / longest}%` }} />
            </button>
          </li>
        ))}
      </ol>
      {stuck.length > SHOWN && (
        <p class="more">and {count(stuck.length - SHOWN, 'more', 'more')}</p>
      )}
    </section>
  );
}
