import { describe, expect, test } from 'vitest';
import { channelOf, namespaceOf, readMessage } from '../src/messages/channels.ts';
import { Waits } from '../src/messages/waits.ts';

/** A small generator of random numbers: the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('messages', () => {
  test('reads messages as they were sent', () => {
    expect(readMessage('wake s/c {ns:key}')).toEqual({
      type: 'wake',
      member: 's/c',
      key: 'ns:key',
    });
    expect(readMessage('wake s/c pre fix:{x}{ns:key}')).toMatchObject({ key: 'ns:key' });
    expect(readMessage('lost s/c forced id {ns:key}')).toEqual({
      type: 'lost',
      member: 's/c',
      id: 'id',
      key: 'ns:key',
    });
    expect(readMessage('lost s/c forced "a\\u0020b" {ns:key}')).toMatchObject({ id: 'a b' });
  });

  test('reads random messages without a throw, and nothing that is not in them', () => {
    const next = random(20_251_129);
    const pieces = [
      'wake',
      'lost',
      ' ',
      ' ',
      '{',
      '}',
      's/c',
      '"',
      '\\u',
      'forced',
      'ns:key',
      '\n',
      'é',
      '\u0000',
    ];
    for (let round = 0; round < 5_000; round++) {
      const length = Math.floor(next() * 12);
      const text = Array.from({ length }, () => pieces[Math.floor(next() * pieces.length)]).join(
        '',
      );
      const message = readMessage(text);
      if (message === undefined) continue;
      expect(text).toContain(message.key);
      expect(text).toContain(message.member);
      expect(message.key).not.toMatch(/[\s{}]/);
    }
  });

  test('ignores messages of more than a few kB', () => {
    const long = (length: number): string => `wake s/c ${'x'.repeat(length)}{ns:key}`;
    expect(readMessage(long(3_000))).toBeDefined();
    expect(readMessage(long(5_000))).toBeUndefined();
  });
});

test('the namespace of a lock is what comes before its first separator', () => {
  expect(namespaceOf('holdfast:a:b')).toBe('holdfast');
  expect(namespaceOf(`${'n'.repeat(100)}~0123`)).toBe('n'.repeat(100));
  expect(channelOf('app:', 'ns', 'id')).toBe('holdfast:inbox:app:{ns}:id');
});

describe('wake-ups', () => {
  const place = { member: 's/c', key: 'ns:key' };
  function setUp(): { waits: Waits; at: (ms: number) => void } {
    let now = 0;
    return { waits: new Waits(() => now), at: (ms) => (now = ms) };
  }

  test('passes on wake-ups for unknown waiters, which may overtake an answer', () => {
    expect(setUp().waits.woken(place)).toBe(true);
  });

  test('passes on one wake-up for each answer of the server', () => {
    const { waits } = setUp();
    waits.registered(place, false);
    expect([waits.woken(place), waits.woken(place)]).toEqual([true, false]);
  });

  test('delays the next wake-ups after some that led to nothing, longer each time', () => {
    const { waits, at } = setUp();
    waits.registered(place, false);
    waits.woken(place);
    let now = 0;
    for (const pause of [50, 100, 200, 400, 500, 500]) {
      waits.registered(place, false);
      at(now + pause - 1);
      expect(waits.woken(place)).toBe(false);
      now += pause;
      at(now);
      expect(waits.woken(place)).toBe(true);
    }
  });

  test('believes wake-ups at once again after a grant', () => {
    const { waits } = setUp();
    waits.registered(place, false);
    waits.woken(place);
    waits.registered(place, false);
    expect(waits.woken(place)).toBe(false);
    waits.ended(place.member, place.key);
    waits.registered(place, false);
    expect(waits.woken(place)).toBe(true);
  });

  test('asks once for wake-ups that may have been missed', () => {
    const { waits } = setUp();
    waits.registered(place, true);
    expect(waits.takeUnheard()).toEqual([place]);
    expect(waits.takeUnheard()).toEqual([]);
  });
});
