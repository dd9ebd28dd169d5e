import { useState } from 'preact/hooks';
import type { TimelineEntry } from '../src/protocol.ts';
import { clock } from './format.ts';

const SHOWN = 60;
const WORDS: Readonly<Record<string, string>> = {
  'not-acquired': 'not acquired',
  'store-error': 'store error',
  'operator-release': 'released by an operator',
};
const BAD: ReadonlySet<string> = new Set([
  'lost',
  'store-error',
  'bypassed',
  'warning',
  'operator-release',
]);

/** What happens, the newest first. */
export function Timeline({ entries }: { entries: readonly TimelineEntry[] }) {
  const [paused, setPaused] = useState<readonly TimelineEntry[]>();
  const shown = (paused ?? entries).slice(-SHOWN).toReversed();
  return (
    <section class="timeline" aria-labelledby="timeline-title">
      <h2 id="timeline-title">Timeline</h2>
      <p class="hint">
        of this process{' '}
        <button
          type="button"
          aria-pressed={paused !== undefined}
          onClick={() => setPaused(paused === undefined ? entries : undefined)}
        >
          {paused === undefined ? 'Pause' : 'Go on'}
        </button>
      </p>
      {shown.length === 0 && <p class="empty">Nothing yet.</p>}
      {/* Not read out as it comes: that would never end. */}
      <ol tabIndex={0} aria-label="Events, the newest first">
        {shown.map(({ number, at, event, key, label, note }) => (
          <li key={number} class={BAD.has(event) ? 'bad' : event}>
            <time>{clock(at)}</time> <b>{WORDS[event] ?? event}</b> <span class="key">{key}</span>
            <span class="note">{[label, note].filter((one) => one !== undefined).join(' · ')}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
