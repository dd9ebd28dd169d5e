/** One figure that is watched, at one moment. */
export interface Point {
  /** In s since the start. */
  readonly at: number;
  readonly value: number;
}

/** How much a figure may seem to grow: as a part of its mean, and at all. */
export interface Tolerance {
  readonly part: number;
  readonly least: number;
}

/** Per kind of figure. */
export const TOLERANCES: Readonly<Record<string, Tolerance>> = {
  // What the optimising compiler keeps, and caches that fill, come late too.
  heap: { part: 0.1, least: 3_000_000 },
  handles: { part: 0.25, least: 10 },
  connections: { part: 0.1, least: 2 },
  keys: { part: 0.15, least: 20 },
};

/** How much a figure has grown over the second half of the time, by a line through all that was seen. */
export function growth(points: readonly Point[]): number {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const half = points.filter(({ at }) => at >= (first.at + last.at) / 2);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = mean(half.map(({ at }) => at));
  const level = mean(half.map(({ value }) => value));
  const spread = half.reduce((sum, { at }) => sum + (at - middle) ** 2, 0);
  const lean = half.reduce((sum, { at, value }) => sum + (at - middle) * (value - level), 0);
  const from = half[0]?.at ?? last.at;
  return spread === 0 ? 0 : (lean / spread) * (last.at - from);
}

/** Whether a figure has grown, beyond what is tolerated. */
export function hasGrown(points: readonly Point[], { part, least }: Tolerance): boolean {
  const mean = points.reduce((sum, { value }) => sum + value, 0) / points.length;
  return growth(points) > Math.max(least, mean * part);
}
