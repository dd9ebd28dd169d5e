/** Control characters, and those that change the direction of text or have no width. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u200B-\u200F\u202A-\u202E\u2066-\u2069]/gu;

/**
 * What others wrote, safe to print: keys and labels may hold anything, also what a terminal takes for
 * commands.
 */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (char) => {
    const code = char.codePointAt(0) as number;
    return code < 256
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** At most so many characters. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

export interface Column {
  readonly title: string;
  readonly right?: boolean | undefined;
  /** What may be cut where the line would be too long; at least so wide. */
  readonly shrinksTo?: number | undefined;
}

/** Lines of a table, a title line first, none longer than `width`. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = Infinity,
): string[] {
  const widths = columns.map(({ title }, at) =>
    rows.reduce((most, row) => Math.max(most, (row[at] as string).length), title.length),
  );
  let over = widths.reduce((sum, one) => sum + one, 2 * (columns.length - 1)) - width;
  for (const [at, { shrinksTo }] of columns.entries()) {
    if (shrinksTo === undefined || over <= 0) continue;
    const less = Math.min(over, Math.max(0, (widths[at] as number) - shrinksTo));
    widths[at] = (widths[at] as number) - less;
    over -= less;
  }
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => {
        const size = widths[at] as number;
        const text = cut(cell, size);
        return columns[at]?.right === true ? text.padStart(size) : text.padEnd(size);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}
