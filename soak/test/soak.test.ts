import { describe, expect, test } from 'vitest';
import { growth, hasGrown, type Point } from '../src/growth.ts';
import { SERVICES } from '../src/protocol.ts';
import { run } from '../src/run.ts';

const TOLERANCE = { part: 0.1, least: 5 };

const points = (value: (at: number) => number): Point[] =>
  Array.from({ length: 40 }, (_, at) => ({ at, value: value(at) }));

describe('a figure', () => {
  test('that swings has not grown', () => {
    const swinging = points((at) => 100 + (at % 4) * 10);
    expect(hasGrown(swinging, TOLERANCE)).toBe(false);
  });

  test('that grows at first, and then no more, has not grown', () => {
    const warm = points((at) => Math.min(at * 20, 200));
    expect(growth(warm)).toBeCloseTo(0);
    expect(hasGrown(warm, TOLERANCE)).toBe(false);
  });

  test('that shrinks has not grown', () => {
    expect(
      hasGrown(
        points((at) => 1_000 - at * 20),
        TOLERANCE,
      ),
    ).toBe(false);
  });

  test('that swings and climbs has grown', () => {
    const climbing = points((at) => 100 + at * 3 + (at % 4) * 10);
    expect(growth(climbing)).toBeGreaterThan(40);
    expect(hasGrown(climbing, TOLERANCE)).toBe(true);
  });
});

test('every figure of every service and of the server is seen', async () => {
  const { figures, answered, left } = await run({ seconds: 3, every: 0.5, looks: 3 });
  const names = SERVICES.flatMap((name) => [`${name} heap`, `${name} handles`]);
  expect(Object.keys(figures)).toEqual([...names, 'server connections', 'server keys']);
  for (const seen of Object.values(figures)) {
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.at(-1)?.value).toBeGreaterThan(0);
  }
  expect(answered[200]).toBeGreaterThan(0);
  expect(left).toBeGreaterThan(0);
});

test('a leak is found, and named', async () => {
  const options = { seconds: 4, every: 0.4, services: ['express'], leaking: 'express' } as const;
  const { problems } = await run(options);
  expect(problems.join('\n')).toMatch(/express heap has grown by \d+/);
});
