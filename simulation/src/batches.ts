import { fork, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '@holdfast/test-servers/bundle';
import { newestNode } from '../../newest-node/src/releases.ts';
import type { Sizes } from './schedule.ts';
import type { Seed } from './seed.ts';
import { StackTally } from './stack/tally.ts';
import type { TopologyName } from './stack/topology.ts';
import { Tally } from './tally.ts';

/** Seeds that are run with the same settings. */
export interface Batch {
  readonly first: Seed;
  readonly seeds: number;
  readonly misbehaving: boolean;
  readonly sizes: Sizes;
  /** Of the whole stack; absent: the engine alone. */
  readonly topologies: readonly TopologyName[] | undefined;
}

/** What the process of a batch tells. */
export type BatchResult =
  | { readonly tally: Record<string, number>; readonly more: Record<string, number> }
  | { readonly failure: string };

/** A process that has run so many seeds may have grown, and is not worth keeping. */
const LARGEST = 1_000;
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
/** Node 20 needs half as long again; what comes out is the same. */
const execPath = newestNode ?? process.execPath;

/**
 * Runs seeds in processes, on all cores. What comes out does not depend on how many there are.
 *
 * @throws Error of the first seed that failed
 */
export async function runBatches(
  all: Batch,
  processes = availableParallelism(),
): Promise<Tally | StackTally> {
  const folder = await bundle(PACKAGE, ['src/batch.ts']);
  try {
    return await runAll(all, processes, join(folder, 'batch.mjs'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runAll(all: Batch, processes: number, program: string): Promise<Tally | StackTally> {
  const waiting = split(all, processes);
  const results: (BatchResult | undefined)[] = waiting.map(() => undefined);
  const running = new Map<number, ChildProcess>();
  let [next, end] = [0, waiting.length];
  const work = async (): Promise<void> => {
    while (next < end) {
      const index = next++;
      const child = fork(program, { execPath, execArgv: ['--no-warnings'] });
      running.set(index, child);
      const result = await resultOf(child, waiting[index] as Batch);
      running.delete(index);
      results[index] = result;
      if (result === undefined || 'tally' in result) continue;
      // Those before it may fail too, and then theirs is the first.
      end = Math.min(end, index + 1);
      for (const [other, later] of running) if (other > index) later.kill();
    }
  };
  await Promise.all(Array.from({ length: processes }, work));
  const tally = all.topologies === undefined ? new Tally() : new StackTally();
  for (const result of results.slice(0, end)) {
    if (result === undefined) throw new Error('A process ended before its seeds were run.');
    if ('failure' in result) throw new Error(result.failure);
    if (tally instanceof Tally) tally.add(Tally.from(result.tally));
    else tally.add(StackTally.from(result));
  }
  return tally;
}

function split(all: Batch, processes: number): Batch[] {
  const { first, seeds } = all;
  if (typeof first !== 'number') return [all];
  const size = Math.min(Math.ceil(seeds / processes), LARGEST);
  return Array.from({ length: Math.ceil(seeds / size) }, (_, index) => {
    const done = index * size;
    return { ...all, first: first + done, seeds: Math.min(size, seeds - done) };
  });
}

/** @returns nothing where the process ended without one */
function resultOf(child: ChildProcess, batch: Batch): Promise<BatchResult | undefined> {
  return new Promise((resolve) => {
    let result: BatchResult | undefined;
    child.once('message', (message) => (result = message as BatchResult));
    child.once('exit', () => resolve(result));
    child.send(batch);
  });
}
