import { cluster } from './cluster.ts';
import { memcached } from './memcached.ts';
import { quorum } from './quorum.ts';
import { durability, sentinel } from './sentinel.ts';
import { single } from './single.ts';
import type { TopologyKind } from './topology.ts';

export const topologies: Readonly<Record<string, TopologyKind>> = {
  single,
  sentinel,
  durability,
  cluster,
  quorum,
  memcached,
};
