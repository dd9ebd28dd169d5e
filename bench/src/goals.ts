/** A goal, the figure that it is about, and whether that reaches it. */
export interface Goal {
  readonly what: string;
  readonly figure: string;
  readonly goal: string;
  readonly reached: boolean;
}

/** Three significant digits, or all of a whole number. */
export function round(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 100
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(3)));
}

/** A figure has to be this or more; without a unit of its own it is a ratio. */
export function atLeast(what: string, value: number, goal: number, unit = ' ×'): Goal {
  return {
    what,
    figure: `${round(value)}${unit}`,
    goal: `≥ ${goal}${unit}`,
    reached: value >= goal,
  };
}

/** A figure has to be this or less; without a unit of its own it is a ratio. */
export function atMost(what: string, value: number, goal: number, unit = ' ×'): Goal {
  return {
    what,
    figure: `${round(value)}${unit}`,
    goal: `≤ ${goal}${unit}`,
    reached: value <= goal,
  };
}

/** As the row of a table. */
export const cellsOf = ({ what, figure, goal, reached }: Goal): string[] => [
  what,
  figure,
  goal,
  reached ? 'reached' : 'MISSED',
];
