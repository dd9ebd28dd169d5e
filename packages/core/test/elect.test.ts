import { describe, expect, test } from 'vitest';
import {
  createLocker,
  currentLock,
  elect,
  LockArgumentError,
  type Candidate,
  type Locker,
} from '../src/index.ts';
import { bench, hear, settled, watch } from './kit.ts';

/** Leads until it is told to stop. */
function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve());
  });
}

function candidate(locker: Locker, terms: number[] = []): Candidate {
  return elect(locker, 'leader', {
    onElected: async (term, signal) => {
      terms.push(term);
      await until(signal);
    },
  });
}

describe('elect', () => {
  test('lets one lead, and the next when that one has gone, with a larger term', async () => {
    const { locker, clock } = bench();
    const terms: number[] = [];
    const all = [1, 2, 3].map(() => candidate(locker(), terms));
    await settled();
    expect(all.map(({ isLeader }) => isLeader)).toEqual([true, false, false]);
    expect(all.map(({ term }) => term)).toEqual([terms[0], 0, 0]);
    await all[0]?.close();
    await clock.advance(100);
    expect(all.map(({ isLeader }) => isLeader)).toEqual([false, true, false]);
    await all[1]?.close();
    await clock.advance(100);
    expect(all.map(({ isLeader }) => isLeader)).toEqual([false, false, true]);
    expect(terms).toEqual([...new Set(terms)].toSorted((a, b) => a - b));
    expect(terms.length).toBe(3);
    await all[2]?.close();
  });

  test('gives candidates of one locker a term each', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const terms: number[] = [];
    const all = [candidate(one, terms), candidate(one, terms)];
    await settled();
    await all[0]?.resign();
    await clock.advance(100);
    expect(all.map(({ isLeader }) => isLeader)).toEqual([false, true]);
    expect(terms[1]).toBeGreaterThan(terms[0] as number);
    for (const each of all) await each.close();
  });

  test('does not release before the work of the leader has ended', async () => {
    const { locker, clock, free } = bench();
    let finish = (): void => {};
    let told = false;
    const leader = elect(locker(), 'leader', {
      onElected: async (_, signal) => {
        await until(signal);
        told = true;
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
      },
    });
    await settled();
    const resigned = watch(leader.resign());
    await clock.advance(20_000);
    expect([told, resigned.state, await free('leader')]).toEqual([true, 'pending', false]);
    finish();
    await settled();
    expect([resigned.state, leader.isLeader, await free('leader')]).toEqual([
      'fulfilled',
      false,
      true,
    ]);
    await leader.close();
  });

  test.each([
    ['returns', () => {}],
    ['throws', () => Promise.reject(new Error('no'))],
    [
      'throws at once',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects with what has no text', () => Promise.reject(Object.create(null))],
  ])('resigns when its work %s, and campaigns again after a pause', async (_, work) => {
    const { locker, clock, free } = bench();
    let elected = 0;
    const leader = elect(locker(), 'leader', {
      onElected: () => {
        elected += 1;
        return work();
      },
    });
    await settled();
    expect([elected, leader.isLeader, await free('leader')]).toEqual([1, false, true]);
    await clock.advance(499);
    expect(elected).toBe(1);
    await clock.advance(1_001);
    expect(elected).toBeGreaterThan(1);
    await leader.close();
    const so = elected;
    await clock.advance(10_000);
    expect(elected).toBe(so);
  });

  test('knows by the clock that it leads no more, also when no timer could fire', async () => {
    // Long enough to be elected on a machine that does much else.
    const one = createLocker({ ttl: 1_000 });
    const leader = candidate(one);
    await settled();
    expect(leader.isLeader).toBe(true);
    const end = performance.now() + 1_010;
    while (performance.now() < end);
    expect([leader.isLeader, leader.term]).toEqual([false, 0]);
    await leader.close();
    await one.close();
  });

  test('survives an outage of the store', async () => {
    const { locker, clock, faults } = bench();
    const terms: number[] = [];
    const leader = candidate(locker(), terms);
    await settled();
    faults.fail({ times: Infinity });
    await clock.advance(60_000);
    expect(leader.isLeader).toBe(false);
    faults.heal();
    await clock.advance(40_000);
    expect(leader.isLeader).toBe(true);
    expect(terms.length).toBe(2);
    await leader.close();
  });

  test('tells followers who leads', async () => {
    const { locker, clock } = bench();
    const first = candidate(locker({ label: 'first' }));
    await settled();
    const follower = candidate(locker({ label: 'second' }));
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const { label, isLeader } of follower.observe()) seen.push([label, isLeader]);
    })();
    await clock.advance(2_000);
    expect(seen).toEqual([['first', false]]);
    await first.close();
    await clock.advance(2_000);
    expect(seen.at(-1)).toEqual(['second', true]);
    await follower.close();
    await watching;
  });

  test('runs its work in the context of the lock, where it may resign or close', async () => {
    const { locker, clock } = bench();
    const keys: (string | undefined)[] = [];
    const leader: Candidate = elect(locker(), 'leader', {
      onElected: async () => {
        keys.push(currentLock()?.key);
        await leader.resign();
        await leader.close();
      },
    });
    await clock.advance(10_000);
    expect(keys).toEqual(['leader']);
    expect(leader.isLeader).toBe(false);
    await leader.close();
  });

  test('leads until its work has settled, also when it is closed meanwhile', async () => {
    const { locker, clock } = bench();
    let finish = (): void => {};
    const leader = elect(locker({ ttl: 1_000 }), 'leader', {
      onElected: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    });
    await settled();
    const closed = leader.close();
    const follower = candidate(locker());
    await clock.advance(10_000);
    expect([leader.isLeader, follower.isLeader]).toEqual([true, false]);
    finish();
    await closed;
    await clock.advance(100);
    expect([leader.isLeader, follower.isLeader]).toEqual([false, true]);
    await follower.close();
  });

  test('ends with its signal, and with its locker', async () => {
    const { locker, clock, free } = bench();
    const gone = new AbortController();
    const one = locker();
    const leader = elect(one, 'leader', {
      signal: gone.signal,
      onElected: (_, signal) => until(signal),
    });
    await settled();
    expect(leader.isLeader).toBe(true);
    gone.abort();
    await clock.advance(5_000);
    expect([leader.isLeader, await free('leader')]).toEqual([false, true]);
    const other = candidate(one);
    await settled();
    await one.close();
    await clock.advance(5_000);
    expect([other.isLeader, await free('leader')]).toEqual([false, true]);
    await other.close();
  });

  test('warns once when the work fails', async () => {
    const { locker, clock } = bench();
    const one = locker();
    const heard = hear(one, 'warning');
    const leader = elect(one, 'leader', { onElected: () => Promise.reject(new Error('no')) });
    await clock.advance(10_000);
    expect(heard).toMatchObject([{ code: 'HOLDFAST_ELECTION' }]);
    await leader.close();
  });

  test.each([
    ['no name', '', { onElected: () => {} }],
    ['no work', 'leader', {}],
    ['an unknown option', 'leader', { onElected: () => {}, onelected: 1 }],
    ['a label that is no string', 'leader', { onElected: () => {}, label: 1 }],
  ])('refuses %s', (_, name, options) => {
    const { locker } = bench();
    expect(() => elect(locker(), name, options as never)).toThrow(LockArgumentError);
    for (const none of [undefined, null, {}, 'locker']) {
      const correct = { onElected: () => {} };
      expect(() => elect(none as never, 'leader', correct)).toThrow(LockArgumentError);
    }
  });
});
