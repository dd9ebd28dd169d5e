import { setTimeout as sleep } from 'node:timers/promises';
import { ensureBinaries, REDIS, startRedis } from '@holdfast/test-servers';
import { Redis } from 'ioredis';
import { growth, hasGrown, TOLERANCES, type Point } from './growth.ts';
import { Load } from './load.ts';
import { SERVICES, type ServiceName } from './protocol.ts';
import { ServiceProcess } from './service-process.ts';

export interface RunOptions {
  readonly seconds: number;
  /** Between two looks, in s. */
  readonly every: number;
  /** It goes on for longer until there were so many looks, which take their time on a busy machine. */
  readonly looks?: number;
  readonly services?: readonly ServiceName[];
  /** The service that is to keep something of every request. */
  readonly leaking?: ServiceName;
  readonly told?: (at: number, figures: Figures) => void;
}

/** By name, as `<service> heap`. */
export type Figures = Readonly<Record<string, number>>;

export interface Report {
  readonly figures: Readonly<Record<string, readonly Point[]>>;
  /** Answers by status, of all services. */
  readonly answered: Readonly<Record<number, number>>;
  /** Clients that left before they were answered. */
  readonly left: number;
  /** What has grown; empty if all is well. */
  readonly problems: readonly string[];
}

/** Runs services under load for so long, and looks at what they and the server use. */
export async function run(options: RunOptions): Promise<Report> {
  const { seconds, every, looks = 8, services = SERVICES, leaking, told } = options;
  const [binary = ''] = await ensureBinaries([REDIS]);
  const server = await startRedis(binary);
  const admin = new Redis(server.port, server.host);
  const processes: ServiceProcess[] = [];
  const loads: Load[] = [];
  const figures: Record<string, Point[]> = {};
  try {
    for (const name of services) {
      processes.push(await ServiceProcess.start(name, server.port, name === leaking));
    }
    for (const { port } of processes) if (port !== undefined) loads.push(new Load(port));
    const startedAt = performance.now();
    const now = (): number => (performance.now() - startedAt) / 1_000;
    for (let done = 0; now() < seconds || done < looks; done++) {
      await sleep(every * 1_000);
      const seen = await look(processes, admin);
      for (const [name, value] of Object.entries(seen)) {
        (figures[name] ??= []).push({ at: now(), value });
      }
      told?.(now(), seen);
    }
    const answered: Record<number, number> = {};
    for (const load of loads) {
      for (const [status, count] of Object.entries(load.answered)) {
        answered[Number(status)] = (answered[Number(status)] ?? 0) + count;
      }
    }
    const left = loads.reduce((sum, load) => sum + load.left, 0);
    return { figures, answered, left, problems: problemsOf(figures) };
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
    await Promise.all(processes.map((service) => service.stop()));
    admin.disconnect();
    await server.stop();
  }
}

async function look(processes: readonly ServiceProcess[], admin: Redis): Promise<Figures> {
  const seen: Record<string, number> = {};
  for (const service of processes) {
    const { heap, handles } = await service.sample();
    seen[`${service.name} heap`] = heap;
    seen[`${service.name} handles`] = handles;
  }
  const clients = /connected_clients:(\d+)/.exec(await admin.info('clients'))?.[1];
  seen['server connections'] = Number(clients);
  seen['server keys'] = await admin.dbsize();
  return seen;
}

function problemsOf(figures: Record<string, readonly Point[]>): string[] {
  return Object.entries(figures).flatMap(([name, points]) => {
    const tolerance = TOLERANCES[name.split(' ')[1] ?? ''];
    if (tolerance === undefined || !hasGrown(points, tolerance)) return [];
    const [from, to] = [points[0]?.value ?? 0, points.at(-1)?.value ?? 0];
    const by = Math.round(growth(points));
    return [`${name} has grown by ${by} over the second half (${from} at first, ${to} at last).`];
  });
}
