import { describe, expect, test } from 'vitest';
import type { CallId, Event, Want } from '../src/events.ts';
import { Oracle, type Rule } from '../src/oracle.ts';

const TTL = 2_000;

const alone: Want = { key: 'a', weight: 1, limit: 1, shared: false };
const reader: Want = { ...alone, shared: true };
const permit = (weight: number, limit = 3): Want => ({ ...alone, weight, limit });

interface Told {
  readonly want?: Want;
  readonly token?: number;
  readonly owner?: string;
  readonly atLeast?: number;
  readonly asked?: number;
  readonly lost?: string;
}

let calls = 10;

/** An acquisition that is known to hold its lock between two times. */
function hold(from: number, to: number, told: Told = {}, call: CallId = `${++calls}.1`): Event[] {
  const { want = alone, token = 0, owner, atLeast, asked = from, lost } = told;
  const at = (time: number): { call: CallId; at: number } => ({ call, at: time });
  return [
    { what: 'asked', ...at(asked), wants: [want], owner, atLeast },
    { what: 'granted', ...at(from), tokens: [token], owner: owner ?? call },
    { what: 'held', ...at(to) },
    ...(lost === undefined ? [] : [{ what: 'lost', ...at(to), reason: lost } as const]),
    { what: 'ended', ...at(to), how: 'released' },
  ];
}

const forced = (from: number, at: number, owner?: string): Event => ({
  what: 'forced',
  key: 'a',
  owner,
  from,
  at,
  sure: true,
});
const forgot = (from: number, at: number): Event => ({ what: 'forgot', why: 'test', from, at });
const exited = (how: 'killed' | 'well' | 'badly'): Event => ({
  what: 'exited',
  process: 1,
  how,
  at: 100,
});
const asked: Event = { what: 'asked', call: '1.0', wants: [alone], at: 10 };
const wrote = (token: number, count: number): Event => ({
  what: 'wrote',
  call: '1.0',
  key: 'a',
  token,
  count,
});

function verdictOn(events: readonly Event[]): { broken: Rule[]; allowed: object } {
  const oracle = new Oracle({ ttl: TTL });
  for (const event of events) oracle.note(event);
  const { violations, allowed } = oracle.verdict();
  return { broken: [...new Set(violations.map(({ rule }) => rule))], allowed };
}

/** Each breaks one rule, and no other notices. */
const bad: Record<string, readonly [Rule, Event[]]> = {
  'two hold a lock at once': ['exclusion', [...hold(10, 20), ...hold(19, 30)]],
  'a holder is known for one moment, within the time of another': [
    'exclusion',
    [...hold(10, 20), ...hold(15, 15)],
  ],
  'three hold a limit of two': [
    'exclusion',
    [10, 11, 12].flatMap((from) => hold(from, 20, { want: permit(1, 2) })),
  ],
  'heavy permits exceed the limit': [
    'exclusion',
    [...hold(10, 20, { want: permit(2) }), ...hold(15, 30, { want: permit(2) })],
  ],
  'a reader is beside a writer': [
    'exclusion',
    [...hold(10, 20), ...hold(15, 30, { want: reader })],
  ],
  'a writer is beside a reader': [
    'exclusion',
    [...hold(10, 20, { want: reader }), ...hold(15, 30)],
  ],
  'servers have forgotten a lock, and its holder does not notice for a lease': [
    'exclusion',
    [...hold(10, 3_000), forgot(20, 30), ...hold(40, 50)],
  ],
  'a lock is had twice before the servers forget': [
    'exclusion',
    [...hold(10, 20), ...hold(19, 30), forgot(40, 50)],
  ],
  'a lock is forced out of one owner, and had twice by others': [
    'exclusion',
    [...hold(10, 20), forced(12, 13, 'another'), ...hold(19, 30)],
  ],
  'who takes over is beside another owner': [
    'exclusion',
    [...hold(10, 20, { owner: 'x' }), ...hold(15, 30, { owner: 'y' })],
  ],
  'a leader acts after its successor': [
    'successor',
    [...hold(30, 40, { token: 1, asked: 5 }), ...hold(10, 20, { token: 2 })],
  ],
  'a token is given twice': [
    'tokens',
    [...hold(10, 20, { want: reader, token: 1 }), ...hold(15, 30, { want: reader, token: 1 })],
  ],
  'a token is smaller than one that was there before': [
    'tokens',
    [...hold(10, 20, { want: reader, token: 2 }), ...hold(15, 30, { want: reader, token: 1 })],
  ],
  'who was forced out believes to hold for longer than its lease': [
    'told in time',
    [...hold(10, 3_000), forced(20, 30)],
  ],
  'who was superseded believes to hold for longer than its lease': [
    'exclusion',
    [...hold(10, 3_000, { owner: 'x' }), ...hold(30, 40, { owner: 'x', asked: 20 })],
  ],
  'a lock is lost as forced, and nobody forced it': ['reason', hold(10, 20, { lost: 'forced' })],
  'a lock is lost as superseded, by nobody but itself': [
    'reason',
    hold(10, 20, { owner: 'x', lost: 'superseded' }),
  ],
  'a lock is lost as stolen before it was forced': [
    'reason',
    [...hold(10, 20, { lost: 'stolen' }), forced(30, 40)],
  ],
  'a lock vanishes from servers that forget nothing': ['reason', hold(10, 20, { lost: 'evicted' })],
  'an update is lost': ['lost update', [wrote(1, 1), wrote(2, 2), wrote(3, 2)]],
  'a former holder writes after the next one': ['lost update', [wrote(2, 1), wrote(1, 2)]],
  'a lock is not kept for as long as was asked for': [
    'holdAtLeast',
    [...hold(10, 20, { atLeast: 100 }), ...hold(109, 120)],
  ],
  'a lock that was waited for is not kept for as long': [
    'holdAtLeast',
    [...hold(10, 50), ...hold(60, 70, { atLeast: 100, asked: 10 }), ...hold(140, 150)],
  ],
  'an acquisition is never answered': ['ends', [asked, exited('well')]],
  'a process does not end by itself': ['ends', [exited('badly')]],
  'a call fails': ['failure', [{ what: 'failed', error: 'test' }]],
  'something stays on a server': ['leftover', [{ what: 'left', thing: 'test' }]],
};

describe('the oracle notices that', () => {
  test.each(Object.entries(bad))('%s', (_, [rule, events]) => {
    expect(verdictOn(events).broken).toEqual([rule]);
  });
});

const good: Record<string, Event[]> = {
  'one holder comes after the other': [
    ...hold(10, 20, { token: 1 }),
    ...hold(20, 30, { token: 2 }),
    ...hold(31, 40, { token: 7 }),
  ],
  'permits are within the limit': [
    ...hold(10, 20, { want: permit(2), token: 1 }),
    ...hold(15, 30, { want: permit(1), token: 2 }),
    ...hold(20, 30, { want: permit(2), token: 3 }),
  ],
  'readers share': [...hold(10, 20, { want: reader }), ...hold(15, 30, { want: reader })],
  'who asked first is granted last': [
    ...hold(30, 40, { asked: 5, token: 2 }),
    ...hold(10, 20, { asked: 8, token: 1 }),
  ],
  'a lock is kept for as long as was asked for': [
    ...hold(10, 20, { atLeast: 100 }),
    ...hold(110, 120),
  ],
  'a process is killed while it asks': [asked, exited('killed')],
  'what is written counts up': [wrote(1, 1), wrote(2, 2), wrote(5, 4)],
  'a lock is lost as it was ended': [
    ...hold(10, 20, { lost: 'forced' }),
    forced(12, 15),
    ...hold(30, 50, { owner: 'x', lost: 'superseded' }),
    ...hold(60, 70, { owner: 'x', asked: 40 }),
  ],
};

test.each(Object.entries(good))('the oracle finds nothing where %s', (_, events) => {
  expect(verdictOn(events)).toEqual({ broken: [], allowed: {} });
});

/** What is told afterwards, as the specification has it. */
const allowed: Record<string, readonly [string, Event[]]> = {
  'a forced release': ['two at once: forced', [...hold(10, 500), forced(20, 30), ...hold(25, 40)]],
  'a take-over': [
    'two at once: superseded',
    [...hold(10, 500, { owner: 'x' }), ...hold(25, 40, { owner: 'x', asked: 20 })],
  ],
  'a take-over by a process that was killed': [
    'two at once: superseded',
    [
      ...hold(10, 500, { owner: 'x' }, '2.1'),
      { what: 'asked', call: '1.0', wants: [alone], owner: 'x', at: 15 },
      exited('killed'),
      ...hold(200, 300, { owner: 'y' }, '2.2'),
    ],
  ],
  'servers that have forgotten': [
    'two at once: forgotten',
    [...hold(10, 500), ...hold(40, 50), forgot(20, 30)],
  ],
  'servers that have forgotten a lock that is passed on within a process': [
    'after a successor: forgotten',
    [
      ...hold(10, 20, { token: 1_000 }, '2.1'),
      ...hold(30, 40, { token: 9_000 }),
      ...hold(45, 48, { token: 1_001, asked: 42 }, '2.2'),
      forgot(12, 15),
    ],
  ],
  'servers that have forgotten a token that was told late': [
    'after a successor: forgotten',
    [...hold(60, 70, { token: 1, asked: 10 }), ...hold(40, 50, { token: 2 }), forgot(20, 30)],
  ],
};

test.each(Object.entries(allowed))(
  'the oracle counts apart what follows from %s',
  (_, [what, events]) => {
    expect(verdictOn(events)).toEqual({ broken: [], allowed: { [what]: 1 } });
  },
);
