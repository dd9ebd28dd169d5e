/** What a lock protects, as a database would keep it: it remembers the largest token that has written. */
export class FencedBalance {
  private fence = 0;
  by = '';

  /** @throws if somebody with a larger token has written */
  write(token: number, by: string): void {
    if (token < this.fence) throw new Error(`refused, its token is behind ${this.fence}`);
    this.fence = token;
    this.by = by;
  }
}
