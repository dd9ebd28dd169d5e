import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { axes, type AxisName, type Point } from './axes.ts';
import { draw } from './draw.ts';

const file = (name: AxisName, kind: 'csv' | 'svg'): URL =>
  new URL(`../../../docs/pictures/growth-${name}.${kind}`, import.meta.url);

/** Figures, and where and when they were measured. */
export interface Measurement {
  readonly measured: string;
  readonly points: readonly Point[];
}

/** As a table of comma-separated values, below a line that says where they are from. */
export function toCsv({ measured, points }: Measurement): string {
  const figures = Object.keys(points[0]?.figures ?? {});
  const rows = points.map(({ library, size, figures: values }) =>
    [library, size, ...figures.map((figure) => Number(values[figure]?.toPrecision(4)))].join(','),
  );
  return [`# ${measured}`, ['library', 'size', ...figures].join(','), ...rows, ''].join('\n');
}

export function fromCsv(text: string): Measurement {
  const [measured = '', head = '', ...rows] = text.trimEnd().split('\n');
  const [, , ...figures] = head.split(',');
  const points = rows.map((row): Point => {
    const [library = '', size, ...values] = row.split(',');
    const named = figures.map((figure, index) => [figure, Number(values[index])] as const);
    return { library, size: Number(size), figures: Object.fromEntries(named) };
  });
  return { measured: measured.replace('# ', ''), points };
}

/** What was saved; nothing, if nothing was. */
export function load(name: AxisName): Measurement {
  const saved = file(name, 'csv');
  return existsSync(saved) ? fromCsv(readFileSync(saved, 'utf8')) : { measured: '', points: [] };
}

export function save(name: AxisName, measurement: Measurement): void {
  writeFileSync(file(name, 'csv'), toCsv(measurement));
}

/** Draws the picture of the figures that were saved. */
export function redraw(name: AxisName): void {
  const { measured, points } = load(name);
  writeFileSync(file(name, 'svg'), draw(axes[name], points, measured));
}
