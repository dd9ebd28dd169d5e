/** One function of ours that was entered. */
interface Call {
  readonly file: string;
  readonly name: string;
}

/** What a recorded operation called, in order. */
export interface Walk {
  readonly title: string;
  readonly calls: readonly Call[];
}

export interface Count {
  readonly calls: number;
  readonly files: number;
  /** How often two calls in a row are in different files. */
  readonly moves: number;
}

/** Generic tools, which a reader steps over: counted, and once more left out. */
const PLUMBING = [
  /^core\/util\//,
  /^core\/(?:events|keys|scope)\.ts$/,
  /^redis\/redis-keys\.ts$/,
  /^redis\/scripts\/script\.ts$/,
];

let calls: Call[] | undefined = undefined;

declare global {
  // oxlint-disable-next-line vars-on-top
  var holdfastEntered: (file: string, name: string) => void;
}

globalThis.holdfastEntered = (file, name) => {
  calls?.push({ file, name });
};

/** Runs an operation, and returns what it called. */
export async function record(title: string, operation: () => unknown): Promise<Walk> {
  const recorded: Call[] = [];
  calls = recorded;
  try {
    await operation();
  } finally {
    calls = undefined;
  }
  return { title, calls: recorded };
}

export function count(walk: readonly Call[]): Count {
  const files = new Set(walk.map(({ file }) => file));
  const moves = walk.filter(({ file }, index) => index > 0 && walk[index - 1]?.file !== file);
  return { calls: walk.length, files: files.size, moves: moves.length };
}

export function withoutPlumbing(walk: readonly Call[]): readonly Call[] {
  return walk.filter(({ file }) => !isPlumbing(file));
}

/** One line for each visit of a file, with what was called there; plumbing is marked by a dot. */
export function lines(walk: readonly Call[]): string[] {
  const visits: { file: string; names: string[] }[] = [];
  for (const { file, name } of walk) {
    const visit = visits.at(-1);
    if (visit?.file === file) visit.names.push(name);
    else visits.push({ file, names: [name] });
  }
  const width = Math.max(...visits.map(({ file }) => file.length));
  return visits.map(
    ({ file, names }) =>
      `${isPlumbing(file) ? ' · ' : '   '}${file.padEnd(width)}  ${names.join(' → ')}`,
  );
}

function isPlumbing(file: string): boolean {
  return PLUMBING.some((pattern) => pattern.test(file));
}
