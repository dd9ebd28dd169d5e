import { redisCommand, startRedisCluster, type TestServer } from '@holdfast/test-servers';
import { machineNow } from '../events.ts';
import { redisBinary } from './binaries.ts';
import { connectionFaults } from './connections.ts';
import { FailoverWatch } from './failover-watch.ts';
import { behindProxies, inStep, isA, leftOn, numberIn, until } from './redis-servers.ts';
import { REDIS_CLIENTS, type Tools, type Topology, type TopologyKind } from './topology.ts';

/** A busy machine must not make a cluster believe that a server is gone, in ms. */
const NODE_TIMEOUT = ['--cluster-node-timeout', '3000'];

/** Keys of locks whose slots move. */
const MOVING = ['{holdfast:red}', '{holdfast:five}', '{holdfast:leader}'];

async function startCluster({ library, random, tell }: Tools): Promise<Topology> {
  const cluster = await startRedisCluster(await redisBinary(), 3, NODE_TIMEOUT, {
    replicas: true,
  });
  const { masters, replicas } = cluster;
  const all = [...masters, ...replicas];
  const { proxies, map } = await behindProxies(all);
  /** Replicas that take over have a new epoch; so have slots that move. */
  const epoch = async (): Promise<number> =>
    Math.max(
      ...(await Promise.all(
        all.map((server) => numberIn(server, 'cluster_current_epoch', 'CLUSTER', 'INFO')),
      )),
    );

  const watch = await FailoverWatch.start(epoch, tell);
  const planned = (act: () => Promise<void>) => (): Promise<void> => watch.planned(act);

  /** A master and its replica, in whatever roles they started. */
  const shard = async (): Promise<readonly [TestServer, TestServer]> => {
    const index = random.pick([...masters.keys()]);
    const pair = [masters[index] as TestServer, replicas[index] as TestServer] as const;
    const [first, second] = pair;
    await until('a shard has a replica', async () => {
      const roles = await Promise.all([isA('replica', first), isA('replica', second)]);
      return roles[0] !== roles[1];
    });
    return (await isA('replica', first)) ? [second, first] : pair;
  };

  const failOver = (
    begin: (master: TestServer) => unknown,
    end: (master: TestServer) => unknown,
  ): (() => Promise<void>) =>
    planned(async () => {
      const [master, replica] = await shard();
      await inStep(master);
      const from = machineNow();
      await begin(master);
      await until('the replica has taken over', () => isA('primary', replica));
      await end(master);
      await until('the old master is a replica', () => isA('replica', master));
      tell({ what: 'forgot', why: 'a failover', from, at: machineNow() });
    });

  const promote = planned(async () => {
    const [master, replica] = await shard();
    await cluster.promote(replica);
    await until('the old master is a replica', () => isA('replica', master));
  });

  const moveSlot = planned(async () => {
    const key = random.pick(MOVING);
    const serves = (server: TestServer): Promise<boolean> =>
      redisCommand(server, 'GET', key).then(
        () => true,
        () => false,
      );
    const primaries: TestServer[] = [];
    for (const server of all) if (await isA('primary', server)) primaries.push(server);
    const served = await Promise.all(primaries.map(serves));
    const from = primaries[served.indexOf(true)];
    if (from === undefined) return;
    const to = random.pick(primaries.filter((server) => server !== from));
    const slot = Number((await redisCommand(from, 'CLUSTER', 'KEYSLOT', key)).slice(1));
    await cluster.moveSlot(slot, from, to);
    await until(
      'all know where the slot is',
      async () => (await serves(to)) && !(await serves(from)),
    );
  });

  return {
    place: {
      kind: 'cluster',
      library,
      ports: proxies.map((proxy) => proxy.port),
      map,
    },
    servers: {
      'a master is killed': failOver(
        (master) => master.kill(),
        (master) => master.revive(),
      ),
      'a master is frozen': failOver(
        (master) => master.freeze(),
        (master) => master.thaw(),
      ),
      'a replica is promoted': promote,
      'a slot moves': moveSlot,
    },
    connections: connectionFaults(proxies, random),
    heal: async () => {
      for (const proxy of proxies) proxy.heal();
      await watch.look();
    },
    leftovers: async () => {
      const left: string[] = [];
      for (const server of all)
        if (await isA('primary', server)) left.push(...(await leftOn(server)));
      return left;
    },
    stop: async () => {
      for (const proxy of proxies) await proxy.stop();
      await cluster.stop();
    },
  };
}

/** Three masters with a replica each. What a failover may cost is counted apart. */
export const cluster: TopologyKind = {
  libraries: REDIS_CLIENTS,
  ttl: 2_000,
  several: true,
  fenced: true,
  start: startCluster,
};
