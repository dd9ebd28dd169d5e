import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { BoardState, LockRow, TimelineEntry } from '../src/protocol.ts';
import './app.css';
import { DetailsDialog } from './details.tsx';
import { count, severity } from './format.ts';
import { Hottest } from './hottest.tsx';
import { LockTable } from './lock-table.tsx';
import { listen } from './server.ts';
import { StuckList } from './stuck.tsx';
import { Timeline } from './timeline.tsx';

const KEPT = 200;

function App() {
  const [state, setState] = useState<BoardState>();
  const [timeline, setTimeline] = useState<readonly TimelineEntry[]>([]);
  const [connected, setConnected] = useState(true);
  const [chosen, setChosen] = useState<LockRow>();

  useEffect(
    () =>
      listen({
        state: setState,
        timeline: (entries) =>
          setTimeline((before) => {
            const last = before.at(-1)?.number ?? 0;
            const first = entries[0]?.number ?? 0;
            // A server that has been started anew counts anew.
            const kept = first <= last && entries.some(({ number }) => number < last) ? [] : before;
            const fresh = entries.filter(({ number }) => kept.length === 0 || number > last);
            return [...kept, ...fresh].slice(-KEPT);
          }),
        connected: setConnected,
      }),
    [],
  );

  return (
    <>
      <Header state={state} connected={connected} />
      <main>
        {state !== undefined && <StuckList state={state} choose={setChosen} />}
        <div class="columns">
          {state !== undefined && <LockTable state={state} choose={setChosen} />}
          <div class="side">
            <Hottest keys={state?.hottest ?? []} />
            <Timeline entries={timeline} />
          </div>
        </div>
      </main>
      {chosen !== undefined && (
        <DetailsDialog row={chosen} close={() => setChosen(undefined)} key={chosen.id} />
      )}
    </>
  );
}

function Header({ state, connected }: { state: BoardState | undefined; connected: boolean }) {
  const worst = worstOf(state);
  return (
    <header class={`headline ${worst}`}>
      <h1>Locks</h1>
      <p class="verdict" role="status">
        {connected ? verdictOf(state) : 'The server does not answer. What you see is old.'}
      </p>
      <ul class="facts" aria-label="In numbers">
        {state?.lockers.map(({ id, name, held, complete, error }) => (
          <li key={id}>
            <b>
              {held === undefined ? '–' : `${held.toLocaleString('en-US')}${complete ? '' : '+'}`}
            </b>{' '}
            held{state.lockers.length > 1 ? ` in ${name}` : ''}
            {error !== undefined && <span class="error"> {error}</span>}
          </li>
        ))}
        {state !== undefined && (
          <li>
            <b>{state.waiting.toLocaleString('en-US')}</b> waiting
          </li>
        )}
      </ul>
    </header>
  );
}

function worstOf(state: BoardState | undefined): 'calm' | 'slow' | 'stuck' {
  const ages = state?.stuck.map(({ since }) => state.now - (since ?? state.now)) ?? [];
  return severity(Math.max(0, ...ages));
}

function verdictOf(state: BoardState | undefined): string {
  if (state === undefined) return 'Looking …';
  const failing = state.lockers.filter(({ error }) => error !== undefined);
  if (failing.length > 0) return 'The store fails. What you see may be old.';
  const stuck = state.stuck.filter(
    ({ since }) => severity(state.now - (since ?? state.now)) === 'stuck',
  );
  if (stuck.length > 0) {
    const waiters = stuck.reduce((sum, { waiters: some }) => sum + some, 0);
    const have = stuck.length === 1 ? 'holds' : 'hold';
    return `${count(stuck.length, 'lock')} ${have} up ${count(waiters, 'waiter')} for more than a minute`;
  }
  if (state.stuck.length > 0)
    return `${count(state.stuck.length, 'lock')} waited for, none for long`;
  return 'Nothing is stuck';
}

render(<App />, document.getElementById('app') as HTMLElement);
