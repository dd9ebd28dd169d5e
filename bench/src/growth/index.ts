import { atMost, round, type Goal } from '../goals.ts';
import { quick } from '../harness.ts';
import { circumstances, print } from '../report.ts';
import { AXES, axes, sizesOf, type Axis, type AxisName, type Point } from './axes.ts';
import { load, redraw, save } from './files.ts';
import { measure } from './measure.ts';

/** One table for each figure: a row for each library, a column for each size. */
function show({ panels, libraries, sizes: what }: Axis, points: readonly Point[]): void {
  const sizes = [...new Set(points.map(({ size }) => size))];
  for (const { figure, label } of panels) {
    const rows = libraries.map((library) => [
      library,
      ...sizes.map((size) => {
        const point = points.find((one) => one.library === library && one.size === size);
        return round(point?.figures[figure] ?? Number.NaN);
      }),
    ]);
    print(`${label}; ${what}:`, ['', ...sizes.map((size) => size.toLocaleString('en-US'))], rows);
  }
}

/** Ours at one size to ours at another. */
function goalsOf(name: AxisName, points: readonly Point[]): Goal[] {
  const { limits, panels }: Axis = axes[name];
  return limits.flatMap(({ figure, from, to, atMost: limit }) => {
    const at = (size: number): number | undefined =>
      points.find((point) => point.library.startsWith('holdfast') && point.size === size)?.figures[
        figure
      ];
    const [small, large] = [at(from), at(to)];
    if (small === undefined || large === undefined) return [];
    const what = panels.find((panel) => panel.figure === figure)?.label ?? figure;
    const sizes = `${to.toLocaleString('en-US')} to ${from.toLocaleString('en-US')}`;
    return atMost(`${name}, ${what}: ${sizes}`, large / small, limit);
  });
}

function axisOf(name: string): AxisName {
  if (Object.hasOwn(axes, name)) return name as AxisName;
  throw new Error(`There is no axis '${name}'. There are: ${AXES.join(', ')}.`);
}

/**
 * How cost grows, beside the libraries that people use.
 *
 * @param axis measures along this one alone
 * @param write saves figures and pictures, and judges those that were saved before, too
 */
export async function run(axis: string | undefined, write: boolean): Promise<Goal[]> {
  const goals: Goal[] = [];
  for (const name of AXES) {
    const all: Axis = axes[name];
    if (axis === undefined || axisOf(axis) === name) {
      const measured = circumstances();
      const sizes = sizesOf(all).filter(
        (_, index, { length }) => !quick || (length - index) % 2 === 1,
      );
      const points = await measure(name, { ...all, ms: quick ? all.ms / 2 : all.ms }, sizes);
      show(all, points);
      goals.push(...goalsOf(name, points));
      if (write) save(name, { measured, points });
      if (write) redraw(name);
    } else if (write) {
      goals.push(...goalsOf(name, load(name).points));
    }
  }
  return goals;
}

/** Draws all pictures of the figures that were saved. */
export function draw(): void {
  for (const name of AXES) redraw(name);
}
