import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { cellsOf, type Goal } from './goals.ts';
import { quick } from './harness.ts';

const page = new URL('../../docs/performance.md', import.meta.url);
const GOALS = ['', 'figure', 'goal', ''];

/** The tables since the last section of the page, as Markdown. */
let tables: string[] = [];

type Cells = readonly string[];

function aligned(head: Cells, rows: readonly Cells[]): string[][] {
  const widths = head.map((cell, column) =>
    Math.max(3, cell.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: Cells): string[] =>
    widths.map((width, column) => (cells[column] ?? '').padEnd(width));
  return [line(head), widths.map((width) => '-'.repeat(width)), ...rows.map(line)];
}

const inMarkdown = (head: Cells, rows: readonly Cells[]): string =>
  aligned(head, rows)
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');

/** Prints a table with a title. */
export function print(title: string, head: Cells, rows: readonly Cells[]): void {
  const lines = aligned(head, rows).map((cells) => cells.join('  ').trimEnd());
  console.log(`\n${title}\n\n${lines.join('\n')}`);
}

/** Prints a table, which belongs on the page too. */
export function table(title: string, head: Cells, rows: readonly Cells[]): void {
  print(title, head, rows);
  tables.push(`**${title}**\n\n${inMarkdown(head, rows)}`);
}

/** Where, when and on what the figures were measured. */
export function circumstances(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  const changed =
    git('status', '--porcelain', '--', '../../packages', '..') === '' ? '' : ', changed,';
  const [cpu] = cpus();
  return (
    `${new Date().toISOString().slice(0, 10)} at ${git('rev-parse', '--short', 'HEAD')}${changed} on Node ` +
    `${process.versions.node}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, load ` +
    `${(loadavg()[0] ?? 0).toFixed(1)} before${quick ? ', quickly' : ''}`
  );
}

/** Replaces what stands between two marks of the page. */
function replace(name: string, by: (old: string) => string): void {
  const text = readFileSync(page, 'utf8');
  const section = new RegExp(`(<!-- figures: ${name} -->\n)(.*?)(<!-- end -->)`, 's');
  if (!section.test(text)) throw new Error(`docs/performance.md has no mark for ${name}.`);
  const write = (_: string, from: string, old: string, to: string): string =>
    `${from}\n${by(old)}\n\n${to}`;
  writeFileSync(page, text.replace(section, write));
}

/** Writes the tables of a benchmark, and its goals among the others, into `docs/performance.md`. */
export function writeSection(name: string, goals: readonly Goal[], measured: string): void {
  if (tables.length > 0) {
    replace(name, () => [`Measured on ${measured}.`, ...tables].join('\n\n'));
  }
  replace('goals', (old) => {
    const cells = (line: string): string[] =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
    const others = old
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
      .slice(1)
      .map(cells)
      .filter(([benchmark]) => benchmark !== name);
    const own = goals.map((goal) => [name, ...cellsOf(goal)]);
    const all = [...others, ...own].toSorted(([a = ''], [b = '']) => a.localeCompare(b));
    return inMarkdown(['benchmark', ...GOALS], all);
  });
}

/** Forgets the tables of the benchmark before. */
export function beginSection(): void {
  tables = [];
}

/** Prints all goals of all benchmarks that were run. */
export function printGoals(goals: readonly (readonly [benchmark: string, goal: Goal])[]): void {
  const rows = goals.map(([benchmark, goal]) => [benchmark, ...cellsOf(goal)]);
  const missed = goals.filter(([, { reached }]) => !reached).length;
  print(`All goals: ${goals.length - missed} reached, ${missed} missed`, ['', ...GOALS], rows);
}
