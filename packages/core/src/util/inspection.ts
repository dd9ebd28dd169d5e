import type { inspect as Inspect } from 'node:util';

/** What `console.log()` asks an object for. */
export const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** As `console.log()` shows an object of which only these fields are anybody's business. */
export function inspected(
  name: string,
  fields: object,
  depth: number,
  options: object,
  inspect: typeof Inspect,
): string {
  return depth < 0 ? `[${name}]` : `${name} ${inspect(fields, options)}`;
}
