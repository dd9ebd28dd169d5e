import { inChild, inTurns, table, times, verdict } from '../harness.ts';

const VARIANTS = ['holdfast', 'async-mutex', 'raw promises'] as const;
const WORKS = ['sequential', 'many keys', 'withLock', 'parallel', '1,000 waiters'];
const child = new URL('child.ts', import.meta.url);

/**
 * The memory store beside async-mutex, one mutex per key, as programs of ES modules get it: its build for
 * CommonJS, which is compiled otherwise, is about three times as fast on Node 20.
 */
export async function run(): Promise<boolean> {
  const rows: string[][] = [];
  let reached = true;
  for (const work of WORKS) {
    const ns = await inTurns(VARIANTS, 5, (name) => inChild<number>(child, [name, work]));
    const ratio = ns['async-mutex'] / ns.holdfast;
    reached &&= ratio >= 2;
    rows.push([
      work,
      ...VARIANTS.map((name) => `${ns[name].toFixed(0)} ns`),
      times(ratio),
      verdict(ratio >= 2, '≥ 2'),
    ]);
  }
  const bytes = await inTurns(VARIANTS, 3, (name) => inChild<number>(child, [name, 'heap']));
  const lean = bytes.holdfast <= bytes['async-mutex'];
  reached &&= lean;
  rows.push([
    'heap per held lock',
    ...VARIANTS.map((name) => `${bytes[name].toFixed(0)} B`),
    times(bytes['async-mutex'] / bytes.holdfast),
    verdict(lean, '≤ async-mutex'),
  ]);
  const head = ['lock + release on the memory store', ...VARIANTS, 'to async-mutex', ''];
  table('Memory (async-mutex: its ES module)', head, rows);
  return reached;
}
