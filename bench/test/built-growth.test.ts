import { expect, test } from 'vitest';
import { axes } from '../src/growth/axes.ts';
import { draw } from '../src/growth/draw.ts';
import { fromCsv, toCsv } from '../src/growth/files.ts';
import { measure } from '../src/growth/measure.ts';

const measured = '2026-11-29 at abc1234';

test('what is measured in fresh processes is saved and drawn', async () => {
  const libraries = ['holdfast', 'redis-semaphore'];
  const axis = { ...axes.processes, libraries, ms: 300 };
  const points = await measure('processes', axis, [1, 2]);
  expect(points.map(({ library, size }) => `${library} ${size}`)).toEqual([
    'holdfast 1',
    'redis-semaphore 1',
    'holdfast 2',
    'redis-semaphore 2',
  ]);
  for (const { figures } of points) {
    for (const { figure } of axis.panels) expect(figures[figure]).toBeGreaterThan(0);
  }

  const saved = fromCsv(toCsv({ measured, points }));
  expect(saved.measured).toBe(measured);
  expect(saved.points).toHaveLength(4);
  const [first] = saved.points;
  expect(first?.figures['heap']).toBeCloseTo(points[0]?.figures['heap'] ?? Number.NaN, 1);

  const picture = draw(axis, saved.points, measured);
  const words = [axis.title, axis.sizes, measured, ...libraries];
  for (const word of [...words, ...axis.panels.map(({ label }) => label)]) {
    expect(picture).toContain(word);
  }
  expect(draw(axis, saved.points.slice(1), measured)).not.toBe(picture);
});

test('memory is measured without a server', async () => {
  const axis = { libraries: ['async-mutex (CJS)'], ms: 0 };
  const [point] = await measure('memory', axis, [10]);
  for (const { figure } of axes.memory.panels) {
    expect(point?.figures[figure]).toBeGreaterThan(0);
  }
});
