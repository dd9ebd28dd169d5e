import { LockArgumentError } from './errors.ts';

/** The names of all options of `T`. */
export function names<T>(all: Record<keyof T, true>): ReadonlySet<string> {
  return new Set(Object.keys(all));
}

/**
 * Refuses options that do not exist: a slip of the pen would otherwise be a default that nobody wants.
 *
 * @throws LockArgumentError
 */
export function checkNames(options: object, known: ReadonlySet<string>): void {
  const unknown = unknownName(options, known);
  if (unknown !== undefined) throw new LockArgumentError(unknown);
}

/**
 * For authors of stores and adapters: refuses what is no object, and options that do not exist, with the
 * name that was meant.
 *
 * @param all the names of all options; the compiler sees to it that none is missing
 * @param what the options are called
 * @throws LockArgumentError
 * @example
 * ```ts
 * checkOptions<MyStoreOptions>(options, { prefix: true, timeout: true });
 * ```
 */
export function checkOptions<T>(
  options: unknown,
  all: Record<keyof T, true>,
  what = 'options',
): void {
  checkObject(what, options);
  checkNames(options as object, names<T>(all));
}

/** @throws LockArgumentError */
export function checkObject(what: string, value: unknown): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return;
  throw new LockArgumentError(`\`${what}\` must be an object.`);
}

/** What is wrong with the first name that is not known, if there is one. */
export function unknownName(options: object, known: ReadonlySet<string>): string | undefined {
  for (const name in options) {
    if (known.has(name)) continue;
    // `undefined` means absent.
    if ((options as Record<string, unknown>)[name] === undefined) continue;
    const meant = nearest(name, known);
    const hint = meant === undefined ? '' : ` Did you mean \`${meant}\`?`;
    return `There is no option \`${name}\`.${hint}`;
  }
  return undefined;
}

/** The known name that somebody may have meant: at most a third of its letters are wrong. */
function nearest(name: string, known: ReadonlySet<string>): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const one of known) {
    const edits = distance(name.toLowerCase(), one.toLowerCase());
    if (edits < least && edits <= Math.max(1, Math.floor(one.length / 3))) {
      best = one;
      least = edits;
    }
  }
  return best;
}

/** How many letters have to be put in, left out, changed or swapped with their neighbour. */
function distance(from: string, to: string): number {
  if (Math.abs(from.length - to.length) > 5) return Infinity;
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      next[j] = Math.min(
        (row[j] as number) + 1,
        (next[j - 1] as number) + 1,
        (row[j - 1] as number) + (same ? 0 : 1),
        swapped ? (before[j - 2] as number) + 1 : Infinity,
      );
    }
    before = row;
    row = next;
  }
  return row[to.length] as number;
}
