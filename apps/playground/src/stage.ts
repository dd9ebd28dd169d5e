import { stripVTControlCharacters } from 'node:util';
import { paint, say } from './screen.ts';

const WIDTH = 80;
/** ms between two pictures. */
const EVERY = 50;

/**
 * One screen, drawn again and again while things happen; without a terminal, lines as they come. Whoever
 * has something to tell gives both: what to show, and what to say.
 */
export class Stage {
  private readonly live = process.stdout.isTTY;
  private readonly parts = new Map<string, readonly string[]>();
  private timer: NodeJS.Timeout | undefined;
  private drawn = 0;

  constructor(private readonly title: string) {
    if (this.live) process.stdout.write('\u001B[2J\u001B[H');
    else say(paint('bold', title));
  }

  /** A part of the screen; shown where it was before. */
  show(part: string, lines: readonly string[]): void {
    if (!this.live) return;
    this.parts.set(part, lines);
    this.timer ??= setTimeout(() => this.draw(), EVERY);
  }

  /** Said once, where nothing can be shown. */
  tell(line = ''): void {
    if (!this.live) say(line);
  }

  /** What is shown and said alike, when it is certain. */
  conclude(part: string, lines: readonly string[]): void {
    this.show(part, lines);
    for (const line of lines) this.tell(line);
  }

  end(): void {
    if (this.live) this.draw();
  }

  private draw(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const lines = [
      paint('bold', this.title),
      ...[...this.parts.values()].flatMap((part) => [''].concat(part)),
    ];
    const frame = lines.map((line) => `${fitting(line)}\u001B[K\n`).join('');
    process.stdout.write(`\u001B[H${frame}\u001B[J`);
    this.drawn += 1;
  }
}

/** A line that is too long would move all that follow. */
function fitting(line: string): string {
  const plain = stripVTControlCharacters(line);
  return plain.length <= WIDTH ? line : plain.slice(0, WIDTH);
}
