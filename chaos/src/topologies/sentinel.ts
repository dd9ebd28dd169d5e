import { setTimeout as sleep } from 'node:timers/promises';
import { redisCommand, startRedisSentinel, type TestServer } from '@holdfast/test-servers';
import { machineNow } from '../events.ts';
import { redisBinary } from './binaries.ts';
import { connectionFaults } from './connections.ts';
import { FailoverWatch } from './failover-watch.ts';
import { behindProxies, inStep, isA, leftOn, numberIn, until } from './redis-servers.ts';
import type { Faults, Tools, Topology, TopologyKind } from './topology.ts';

/** How a primary goes, and comes back. */
interface Failure {
  readonly begin: (primary: TestServer) => unknown;
  readonly end: (primary: TestServer, next: TestServer) => unknown;
}

/** Sentinel does not fail over again within twice its `failover-timeout`, in ms. */
const NOT_SOONER = 6_500;

/** Two servers and a Sentinel that makes the one a primary when the other is gone. */
async function startSentinel(
  { library, random, tell }: Tools,
  waitsForReplicas: boolean,
): Promise<Topology> {
  const sentinel = await startRedisSentinel(await redisBinary());
  const { host, port, name, servers } = sentinel;
  const { proxies, map } = await behindProxies(servers);
  const ask = (...words: string[]): Promise<string> =>
    redisCommand({ host, port }, 'SENTINEL', ...words);
  const failovers = (): Promise<number> =>
    numberIn({ host, port }, 'config-epoch', 'SENTINEL', 'MASTER', name);

  const watch = await FailoverWatch.start(failovers, tell);
  let failedOverAt = -Infinity;

  const failOver = async ({ begin, end }: Failure): Promise<void> => {
    const sooner = failedOverAt + NOT_SOONER - machineNow();
    if (waitsForReplicas && sooner > 0) await sleep(sooner);
    const isPrimary = await sentinel.primaryPort();
    const [primary, next] = servers[0].port === isPrimary ? servers : servers.toReversed();
    if (primary === undefined || next === undefined) return;
    await inStep(primary);
    await watch.planned(async () => {
      const from = machineNow();
      await begin(primary);
      await until(
        'the replica is the primary',
        async () => (await sentinel.primaryPort()) === next.port && (await isA('primary', next)),
      );
      failedOverAt = machineNow();
      await end(primary, next);
      await until('the old primary is a replica', () => isA('replica', primary));
      if (!waitsForReplicas) tell({ what: 'forgot', why: 'a failover', from, at: machineNow() });
    });
  };

  /** It has whatever was granted before it was killed, but for renewals of the last moment. */
  const kills: Faults = {
    'the primary is killed': () =>
      failOver({
        begin: (primary) => primary.kill(),
        end: (primary, next) => primary.revive(['--replicaof', next.host, String(next.port)]),
      }),
  };
  /** Two believe for a moment that they are the primary. */
  const splits: Faults = {
    'the primary is frozen': () =>
      failOver({ begin: (primary) => primary.freeze(), end: (primary) => primary.thaw() }),
    'a failover is ordered': () =>
      failOver({
        begin: () =>
          until('Sentinel obeys', async () => (await ask('FAILOVER', name)).startsWith('+OK')),
        end: () => {},
      }),
  };

  return {
    place: {
      kind: 'sentinel',
      library,
      port,
      name,
      map,
      ...(waitsForReplicas && { durability: { minReplicas: 1, timeout: 500 } }),
    },
    servers: waitsForReplicas ? kills : { ...kills, ...splits },
    connections: connectionFaults(proxies, random),
    heal: async () => {
      for (const proxy of proxies) proxy.heal();
      await watch.look();
    },
    leftovers: async () => {
      const primary = await sentinel.primaryPort();
      return leftOn(servers.find((server) => server.port === primary) as TestServer);
    },
    stop: async () => {
      for (const proxy of proxies) await proxy.stop();
      await sentinel.stop();
    },
  };
}

const libraries = ['ioredis', 'iovalkey', 'node-redis'];

/** What a failover may cost is counted apart: replicas are not waited for. */
export const sentinel: TopologyKind = {
  libraries,
  ttl: 2_000,
  several: true,
  fenced: true,
  start: (tools) => startSentinel(tools, false),
};

/**
 * With `durability` a grant that was confirmed survives a primary that is killed. A lease is longer than
 * a failover takes: its last renewal is not waited for, and is made again when that is over.
 */
export const durability: TopologyKind = {
  ...sentinel,
  ttl: 8_000,
  several: false,
  start: (tools) => startSentinel(tools, true),
};
