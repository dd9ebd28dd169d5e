import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the process is that compiles, where `compiler-setup` is a global setup. */
    compiler: string;
  }
}

/** What is compiled. */
export interface Compilation {
  /** The folder of a `typescript`. */
  readonly compiler: string;
  /** That of the project, in which the files are. */
  readonly folder: string;
  /** Those of the command line. */
  readonly words: readonly string[];
}

/**
 * What a compiler complains of in our packages and in the project, in the words and with the options of its
 * command line; empty if it does not.
 *
 * @param compiler the folder of a `typescript`
 * @param folder of the project, in which the files are
 */
export async function compile(
  compiler: string,
  folder: string,
  words: readonly string[],
): Promise<string> {
  const asked: Compilation = { compiler, folder, words };
  const reply = await fetch(inject('compiler'), {
    method: 'POST',
    // One that is kept could be closed at the moment in which it is used again.
    headers: { connection: 'close' },
    body: JSON.stringify(asked),
  });
  const complaints = await reply.text();
  if (!reply.ok) throw new Error(complaints);
  return complaints;
}
