/** What a script calls at the beginning of each of its branches, with the branch's number. */
export const BRANCH = 'BRANCH';

/** The branches of scripts: those that there are, and those that are taken. */
export class Branches {
  private readonly numbers = new Map<string, number>();
  private readonly known: string[] = [];
  private readonly rewritten = new Map<string, string>();

  /** @param taken told of each branch that is taken, as often as it is */
  constructor(private readonly taken: (branch: string) => void) {}

  /** Of all scripts that have run. */
  get all(): readonly string[] {
    return this.known;
  }

  /** A script that tells of its branches. Those with the same text are one: many scripts have the same parts. */
  rewrite(source: string): string {
    let rewritten = this.rewritten.get(source);
    if (rewritten !== undefined) return rewritten;
    const lines = source.split('\n');
    rewritten = lines.map((line, index) => this.marked(line, lines[index + 1])).join('\n');
    this.rewritten.set(source, rewritten);
    return rewritten;
  }

  /** Told by a script. */
  take(number: string): void {
    this.taken(this.known[Number(number)] as string);
  }

  private marked(line: string, next = ''): string {
    if (line.trim().startsWith('--')) return line;
    return line.replaceAll(/\b(?:then|else)\b/g, (word) => {
      const text = line.trim();
      const branch = `script: ${text === word ? `${word} ${next.trim()}` : text}`;
      const name = word === 'else' && text !== word ? `${branch} (else)` : branch;
      return `${word} redis.call('${BRANCH}', ${this.numberOf(name)}) `;
    });
  }

  private numberOf(branch: string): number {
    let number = this.numbers.get(branch);
    if (number === undefined) {
      number = this.known.push(branch) - 1;
      this.numbers.set(branch, number);
    }
    return number;
  }
}
