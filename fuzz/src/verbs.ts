import type { Lock, Locker } from '@holdfast/core';
import { outcomeOf } from './outcome.ts';
import type { Random } from './random.ts';

/** Two who want a key whose state somebody else can write. */
export interface Rivals {
  readonly holder: Locker;
  readonly other: Locker;
}

/**
 * Runs all verbs over a key, around a moment at which its stored state is replaced. Each settles, fails
 * with errors of ours only, and nobody has the key with another: whoever is told of a loss has lost.
 *
 * @returns what nothing may do
 */
export async function allVerbs(
  random: Random,
  { holder, other }: Rivals,
  key: string,
  poison: () => Promise<unknown>,
): Promise<string | undefined> {
  const problems: (string | undefined)[] = [];
  const asked = async <T>(what: string, call: () => Promise<T>): Promise<T | undefined> => {
    const { value, problem } = await outcomeOf(what, call);
    problems.push(problem);
    return value;
  };
  const first = random.chance(0.6)
    ? await asked('the first tryLock', () => holder.tryLock(key))
    : undefined;
  await poison();
  const looks: Record<string, () => Promise<unknown>> = {
    inspect: () => other.inspect(key),
    list: () => other.list({ limit: 20 }),
    extend: async () => first?.extend(),
    wait: async () => (await other.lock(key, { wait: 1 })).release(),
    'several keys': async () => (await other.tryLock([key, `${key}:b`]))?.release(),
    forceRelease: () => other.forceRelease(key),
    'tryLock with an owner': async () => (await other.tryLock(key, { owner: 'task' }))?.release(),
  };
  const names = Object.keys(looks);
  for (let left = 1 + random.below(3); left > 0; left--) {
    const name = random.pick(names);
    await asked(name, looks[name] as () => Promise<unknown>);
  }
  const locks: (Lock | null | undefined)[] = await Promise.all([
    asked('tryLock', () => other.tryLock(key)),
    asked('tryLock', () => holder.tryLock(key)),
  ]);
  problems.push(await sharedBy([first, ...locks]));
  for (const lock of [...locks, first]) await asked('release', async () => lock?.release());
  return problems.find((problem) => problem !== undefined);
}

/** Whether more than one still has a key when all have asked for more time. */
async function sharedBy(locks: readonly (Lock | null | undefined)[]): Promise<string | undefined> {
  let holding = 0;
  for (const lock of locks) {
    if (lock === null || lock === undefined) continue;
    const kept = await lock.extend().then(
      () => lock.state === 'held',
      () => false,
    );
    if (kept) holding += 1;
  }
  return holding > 1 ? `${holding} hold one key` : undefined;
}
