/** Longer than any verb may take with the options that the targets use, in ms, also on a busy machine. */
const PATIENCE = 20_000;

export interface Outcome<T> {
  readonly value?: T;
  /** What nothing may do. */
  readonly problem?: string;
}

/** What became of a call of ours: it settles, and rejects with nothing but errors of ours. */
export async function outcomeOf<T>(what: string, call: () => Promise<T>): Promise<Outcome<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome<T>>((resolve) => {
    timer = setTimeout(() => resolve({ problem: `${what} did not settle` }), PATIENCE);
  });
  try {
    return await Promise.race([call().then((value) => ({ value })), late]);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code === 'string' && code.startsWith('LOCK')) return {};
    return { problem: `${what} rejected with ${String(error)}` };
  } finally {
    clearTimeout(timer);
  }
}
