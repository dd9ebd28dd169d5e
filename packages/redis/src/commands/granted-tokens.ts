/** So many grants at most are known: what is not known is asked for by the script that ends it. */
const MOST = 100_000;

/**
 * The last fencing token of each grant that this process holds, so that a release can leave it behind
 * without a look at the lock before.
 */
export class GrantedTokens {
  private readonly last = new Map<string, number>();

  granted(id: string, token: number, tokens: number): void {
    const { last } = this;
    if (last.size >= MOST) {
      const [oldest = ''] = last.keys();
      last.delete(oldest);
    }
    last.set(id, token + tokens - 1);
  }

  /** The last token of a grant that ends, if it is known. */
  take(id: string): number | undefined {
    const token = this.last.get(id);
    if (token !== undefined) this.last.delete(id);
    return token;
  }
}
