/**
 * State of the process that the ESM and the CommonJS copy of this package have in common.
 *
 * @param name also names its shape: a change of that needs another name
 */
export function shared<T>(name: string, make: () => T): T {
  const slot = Symbol.for(`@holdfast/core:${name}`);
  const holder = globalThis as unknown as Record<symbol, T | undefined>;
  return (holder[slot] ??= make());
}
