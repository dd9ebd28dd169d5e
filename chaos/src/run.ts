import { setTimeout as sleep } from 'node:timers/promises';
import { ensureBinaries, REDIS } from '@holdfast/test-servers';
import { faults } from './faults.ts';
import type { History } from './history.ts';
import { Site } from './site.ts';

/** How a run went. */
export interface Report {
  readonly history: History;
  /** How often each fault was made. */
  readonly faults: Readonly<Record<string, number>>;
  /** Empty if all went as promised. */
  readonly problems: readonly string[];
}

const PROCESSES = 8;
/** Between two faults, in ms, at most. */
const CALM = 400;

/** Has processes lock while things go wrong, all kinds in turn, for at least so long. */
export async function run(seconds: number, library = 'ioredis'): Promise<Report> {
  const [binary] = (await ensureBinaries([REDIS])) as [string];
  const site = await Site.start(binary, PROCESSES, library);
  const made: Record<string, number> = {};
  try {
    const endAt = performance.now() + seconds * 1_000;
    do {
      for (const [name, make] of Object.entries(faults)) {
        await sleep(Math.random() * CALM);
        await make(site);
        made[name] = (made[name] ?? 0) + 1;
      }
    } while (performance.now() < endAt);
    return { history: site.history, faults: made, problems: await site.finish() };
  } finally {
    await site.stop();
  }
}
