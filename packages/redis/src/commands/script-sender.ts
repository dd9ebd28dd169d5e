import type { ClientPort, ScriptClient } from '../connection/port.ts';
import type { Script } from '../scripts/script.ts';

/**
 * Runs scripts by their name, and by their text where the server does not know it: also without asking,
 * as long as it is not known that it does, because a round trip more may cost a lock.
 */
export class ScriptSender {
  /** By server: the scripts that it knows, as long as its connection lasts. */
  private readonly loaded = new Map<string, Set<string>>();

  /**
   * @param isWatched whether {@link forget} is called when the connection is lost; else nothing is
   * known of what a server knows
   * @param serverOf which server is asked about a lock, in a cluster
   */
  constructor(
    readonly runner: ScriptClient,
    public isWatched: boolean,
    private readonly serverOf: (lock: string) => string = () => '',
  ) {}

  /** The connection is lost, and another server may take the place of the one that it was to. */
  forget(): void {
    this.loaded.clear();
  }

  /**
   * @param keys how many of the words are KEYS; the others are ARGV
   * @param answered told the answer; what it returns is the result
   * @param failed told the error, where there is none
   */
  run<T>(
    { sha, source }: Script,
    keys: number,
    words: string[],
    answered: (answer: unknown) => T,
    failed: (error: unknown) => T | Promise<T>,
  ): Promise<T> {
    const { runner } = this;
    const server = this.serverOf(words[0] ?? '');
    if (this.isWatched && !this.knows(server, sha)) {
      // A connection serves in order: what comes behind this finds the script.
      return runner.eval(source, keys, words).then(answered, (error: unknown) => {
        this.loaded.get(server)?.delete(sha);
        return failed(error);
      });
    }
    return runner.evalsha(sha, keys, words).then(answered, (error: unknown) => {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) return failed(error);
      this.loaded.delete(server);
      return runner.eval(source, keys, words).then(answered, failed);
    });
  }

  /** Whether a server knows a script; the next time it does. */
  private knows(server: string, sha: string): boolean {
    let scripts = this.loaded.get(server);
    if (scripts === undefined) this.loaded.set(server, (scripts = new Set()));
    if (scripts.has(sha)) return true;
    scripts.add(sha);
    return false;
  }
}

/** Looks after the connection of a client until the returned function is called. */
export function watchScripts(port: ClientPort, sender: ScriptSender): () => void {
  const forget = (): void => sender.forget();
  const unwatch = port.watch({ away: forget, closed: forget, primaryGone: forget });
  sender.isWatched = true;
  return () => {
    unwatch();
    sender.isWatched = false;
    sender.forget();
  };
}
