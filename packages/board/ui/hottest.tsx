import type { HotKey } from '../src/protocol.ts';
import { count, duration } from './format.ts';

/** Which keys cost the most waiting lately, as this process has seen it. */
export function Hottest({ keys }: { keys: readonly HotKey[] }) {
  const most = Math.max(1, ...keys.map(({ waited }) => waited));
  return (
    <section class="hottest" aria-labelledby="hottest-title">
      <h2 id="hottest-title">Hottest keys</h2>
      <p class="hint">by time waited in this process, lately</p>
      {keys.length === 0 && <p class="empty">Nobody had to wait.</p>}
      <ol>
        {keys.map(({ key, waited, waits }) => (
          <li key={key}>
            <span class="key">{key}</span>
            <span class="number">
              {duration(waited)} · {count(waits, 'wait')}
            </span>
            <span class="bar" style={{ width: `${(100 * waited) / most}%` }} />
          </li>
        ))}
      </ol>
    </section>
  );
}
