import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocker } from '@holdfast/core';
import { startRedis } from '@holdfast/test-servers';
import { machineNow, type Event } from './events.ts';
import { Oracle, type Verdict } from './oracle.ts';
import { Processes } from './processes.ts';
import { Random } from './random.ts';
import { openStore, type Place } from './stores.ts';
import { redisBinary } from './topologies/binaries.ts';
import { topologies } from './topologies/index.ts';
import type { Faults, TopologyKind } from './topologies/topology.ts';
import { allOf } from './workload.ts';

/** What a run is to do. */
export interface Plan {
  readonly topology: string;
  readonly library: string;
  /** For how long things go wrong, at least. */
  readonly seconds: number;
  readonly seed: number;
  /** How many lock. */
  readonly processes: number;
  /** A file for all that was told. */
  readonly history?: string | undefined;
}

/** How a run went. */
export interface Report extends Verdict {
  readonly oracle: Oracle;
  /** How often each fault was made. */
  readonly faults: Readonly<Record<string, number>>;
}

/** Between two faults of connections, in ms, at most. */
const CALM = 1_500;
/** Of servers, so that there is service now and then. */
const SERVERS_CALM = 4_000;
/** After the last lease is over, in ms: for what is cleaned up in the background. */
const CLEAN_UP = 15_000;

/** Has processes lock while things go wrong, and checks what they told. */
export async function run(plan: Plan): Promise<Report> {
  const { topology: name, library, seed } = plan;
  const kind = topologies[name] as TopologyKind;
  const { ttl, several } = kind;
  const oracle = new Oracle({ ttl });
  const file = plan.history === undefined ? undefined : openSync(plan.history, 'w');
  const tell = (event: Event): void => {
    if (file !== undefined) writeSync(file, `${JSON.stringify(event)}\n`);
    oracle.note(event);
  };
  tell({ what: 'began', topology: name, library, seed, ttl });

  const endings: (() => unknown)[] = [];
  try {
    const random = new Random(seed);
    const topology = await kind.start({ library, random, tell });
    endings.push(() => topology.stop());
    const counter = kind.fenced ? await startRedis(await redisBinary()) : undefined;
    endings.push(() => counter?.stop());
    const { place } = topology;
    const job = { place, ttl, several, counterPort: counter?.port, seed };
    const processes = new Processes(job, random, tell);
    endings.push(() => processes.stop());
    await processes.start(plan.processes);

    const classes: FaultClass[] = [
      { faults: topology.servers, calm: SERVERS_CALM },
      { faults: topology.connections, calm: CALM },
      // What a process that is killed or frozen held is held for a ttl.
      { faults: processes.faults, calm: ttl },
    ];
    const faults = await makeFaults(classes, random, plan.seconds, tell);

    await topology.heal();
    await processes.finish();
    for (const thing of await stillTaken(place, kind)) tell({ what: 'left', thing });
    for (const thing of await leftAfter(ttl + CLEAN_UP, () => topology.leftovers())) {
      tell({ what: 'left', thing });
    }
    return { oracle, faults, ...oracle.verdict() };
  } finally {
    for (const end of endings.toReversed()) await end();
    if (file !== undefined) closeSync(file);
  }
}

/** The verdict on a history that was recorded. */
export function check(file: string): Verdict {
  const events = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Event);
  const [began] = events;
  if (began?.what !== 'began') throw new Error(`${file} is no history.`);
  const oracle = new Oracle({ ttl: began.ttl });
  for (const event of events) oracle.note(event);
  return oracle.verdict();
}

/** Faults that come one after the other, and so many ms between two of them at most. */
interface FaultClass {
  readonly faults: Faults;
  readonly calm: number;
}

/** Of each class one fault after the other, each kind in turn, and all classes at the same time. */
async function makeFaults(
  classes: readonly FaultClass[],
  random: Random,
  seconds: number,
  tell: (event: Event) => void,
): Promise<Record<string, number>> {
  const made: Record<string, number> = {};
  const endAt = performance.now() + seconds * 1_000;
  const makeAll = async ({ faults, calm }: FaultClass, own: Random): Promise<void> => {
    do {
      for (const [name, fault] of own.shuffled(Object.entries(faults))) {
        await sleep(own.between(0, calm));
        const from = machineNow();
        await fault();
        made[name] = (made[name] ?? 0) + 1;
        tell({ what: 'fault', name, from, at: machineNow() });
        if (performance.now() > endAt) break;
      }
    } while (performance.now() < endAt);
  };
  await Promise.all(classes.map((one) => makeAll(one, random.fork())));
  return made;
}

/** Locks that cannot be had although nobody is there any more. */
async function stillTaken(place: Place, { ttl, several }: TopologyKind): Promise<string[]> {
  const { store, close } = await openStore(place);
  const locker = createLocker({ store, ttl });
  const taken: string[] = [];
  for (const { key, limit } of allOf(several)) {
    // The leases of those that were killed, and a server that is still busy.
    const lock = await locker.tryLock(key, { limit, weight: limit, wait: 2 * ttl + CLEAN_UP });
    if (lock === null) taken.push(`${key} is still taken.`);
    await lock?.release();
  }
  await locker.close();
  await close();
  return taken;
}

/** What is still there after so many ms. */
async function leftAfter(ms: number, look: () => Promise<string[]>): Promise<string[]> {
  const giveUpAt = performance.now() + ms;
  for (;;) {
    const left = await look();
    if (left.length === 0 || performance.now() > giveUpAt) return left;
    await sleep(100);
  }
}
