import { fork } from 'node:child_process';
import { once } from 'node:events';
import { compiled, inChild } from '../harness.ts';
import { whileHeld } from '../redis/held-by-other.ts';
import { onRedis, watchRedis } from '../servers.ts';
import type { Axis, AxisName, Point } from './axes.ts';
import type { Measured } from './child.ts';

const child = 'growth/child';

/** So many processes, which begin to measure together. */
async function together(
  processes: number,
  args: readonly string[],
  begin: () => Promise<unknown>,
): Promise<Measured[]> {
  const children = Array.from({ length: processes }, () =>
    fork(compiled(child), args, { execArgv: ['--expose-gc'] }),
  );
  try {
    const failed = children.map(async (one) => {
      const [code] = (await once(one, 'exit')) as [number];
      throw new Error(`The process for ${args.join(' ')} ended with ${code}.`);
    });
    for (const one of failed) one.catch(() => {});
    const told = <T>(): Promise<T[]> =>
      Promise.race([
        Promise.all(children.map(async (one) => ((await once(one, 'message')) as [T])[0])),
        ...failed,
      ]);
    await told();
    await begin();
    for (const one of children) one.send('go');
    return await told<Measured>();
  } finally {
    for (const one of children) one.kill('SIGKILL');
  }
}

/** One library at one size on a server of its own; each cost is of one of whatever was done. */
async function onServer(
  axis: AxisName,
  library: string,
  size: number,
  ms: number,
): Promise<Point['figures']> {
  return onRedis(async (server, url) => {
    const processes = axis === 'processes' ? size : 1;
    let spent = async (): Promise<{ commands: number }> => ({ commands: Number.NaN });
    const work = () =>
      together(processes, [axis, library, String(size), url, String(ms)], async () => {
        spent = await watchRedis(server);
      });
    const all = await (axis === 'waiters' ? whileHeld(url, work) : work());
    const { commands } = await spent();
    const sum = (figure: keyof Measured): number =>
      all.reduce((total, one) => total + one[figure], 0);
    const done = sum('done');
    return {
      commands: commands / done,
      // Of a second in ms, of the rest in µs.
      cpu: sum('cpu') / done / (axis === 'waiters' ? 1_000 : 1),
      heap: sum('heap') / processes,
      ...(axis === 'processes' ? { rate: (done * 1_000) / ms } : {}),
    };
  });
}

/** Both in processes of their own: what waits, and what is held. */
async function inMemory(library: string, size: number): Promise<Point['figures']> {
  const of = (work: string) =>
    inChild<Point['figures']>('growth/memory-child', [work, library, String(size)]);
  return { ...(await of('waiters')), ...(await of('held')) };
}

/** Measures all libraries at each of these sizes, one after the other. */
export async function measure(
  name: AxisName,
  { libraries, ms }: Pick<Axis, 'libraries' | 'ms'>,
  sizes: readonly number[],
): Promise<Point[]> {
  const points: Point[] = [];
  for (const size of sizes) {
    for (const library of libraries) {
      try {
        const figures = await (name === 'memory'
          ? inMemory(library, size)
          : onServer(name, library, size, ms));
        points.push({ library, size, figures });
      } catch (error) {
        // Some cannot do that much: they have no point there.
        console.error(`${library} fails at ${size}:`, error);
      }
    }
  }
  return points;
}
