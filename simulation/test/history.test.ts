import { describe, expect, test } from 'vitest';
import { record } from '../src/history.ts';
import { mutants } from '../src/mutants.ts';
import { simulate } from '../src/simulate.ts';
import { Trace } from '../src/trace.ts';
import { linesOf } from '../src/words.ts';

const SEEDS = 40;

describe('a recorded history', () => {
  test('records runs that are the same as without it', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const traced = await simulate(seed, { trace: new Trace() });
      expect(traced.toString()).toBe((await simulate(seed)).toString());
    }
  });

  test('is the same again for the same seed, and another for another', async () => {
    const { events, fingerprint } = await record(7);
    expect((await record(7)).events).toEqual(events);
    expect((await record(8)).fingerprint).not.toBe(fingerprint);
  });

  test('has every kind of event, and a line of English for each', async () => {
    const kinds = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { events } = await record(seed);
      for (const event of events) kinds.add(event.kind === 'fault' ? event.fault : event.kind);
      const lines = linesOf(events);
      expect(lines.filter((line) => /undefined|NaN|null|\[object/.test(line))).toEqual([]);
    }
    const expected =
      'acquired begin close delay drop-message drop-reply drop-request duplicate evict fail-after ' +
      'fail-before force forget grant held lost not-acquired pause released renewed request steal ' +
      'step suspend waiting';
    expect([...kinds].toSorted().join(' ')).toBe(expected);
  });

  test('says of every lease how it ended, and that its signal point came before its end', async () => {
    const { events } = await record(3);
    const leases = (...kinds: readonly string[]): number[] =>
      events.flatMap((event) =>
        'lease' in event && kinds.includes(event.kind) ? [event.lease] : [],
      );
    const begun = leases('held');
    expect(begun.length).toBeGreaterThan(50);
    expect(leases('released', 'lost').toSorted((a, b) => a - b)).toEqual(begun);
    const times = events.flatMap((event) => ('until' in event ? [event] : []));
    expect(times.filter(({ signalPoint, until }) => signalPoint >= until)).toEqual([]);
    expect(times.filter(({ at, until }) => at >= until)).toEqual([]);
  });

  test('ends with the violation where a bug is planted', async () => {
    const bug = 'a late release frees the next holder';
    const { events, violation } = await record(1, { bug });
    expect(mutants.find(({ name }) => name === bug)?.caughtBy).toContain(violation?.invariant);
    expect(events.at(-1)).toMatchObject({ kind: 'violation', invariant: violation?.invariant });
    // The bug is taken out again.
    expect((await record(1)).violation).toBeUndefined();
  });

  test('shows permits beside each other, and says so where they weigh too much', async () => {
    const { events } = await record(3);
    const weights = events.flatMap((event) =>
      event.kind === 'held' && event.sharing !== undefined ? [event.sharing.weight] : [],
    );
    expect(Math.max(...weights)).toBeGreaterThan(1);
    expect(linesOf(events).join('\n')).toMatch(/ holds limit-5 with weight \d of 5, token \d+: /);
    expect(linesOf(events).join('\n')).toContain(' holds readers as a reader, token ');
    const bug = 'every permit weighs the same';
    let seed = 1;
    while ((await record(seed, { bug })).violation === undefined) seed += 1;
    expect((await record(seed, { bug })).violation?.invariant).toBe('weight');
  });

  test('is of as many processes and keys as are asked for', async () => {
    const { events } = await record(1, { processes: 2, keys: 1 });
    expect(events[0]).toMatchObject({ processes: ['process-0', 'process-1'], keys: ['key-0'] });
  });

  test('refuses a bug that it does not know', async () => {
    await expect(record(1, { bug: 'none such' })).rejects.toThrow('There is no bug "none such".');
  });
});
