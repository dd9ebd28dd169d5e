import type { World } from '../world.ts';
import type { RedisServer } from './server.ts';

/** What becomes of a primary when a replica takes its place. */
export type OldPrimary =
  /** It crashes, and comes back as a replica. */
  | 'dies'
  /** It is a replica from now on, and keeps its connections for a while. */
  | 'demoted'
  /** It does not hear of it for a while, and goes on. */
  | 'isolated';

/** Told of a failover, before anybody asks the new primary. */
export type OnFailover = (group: ReplicaGroup, from: RedisServer, to: RedisServer) => void;

/** How long it takes until others know of a new primary, in ms. */
const NEWS = 200;

/** A primary and its replicas, of which one takes over when it fails: as Sentinel or a cluster has it. */
export class ReplicaGroup {
  primary: RedisServer;
  /** Whom clients are told of. */
  known: RedisServer;
  /** Until when a failover is under way. */
  busyUntil = 0;
  private replicas: RedisServer[];

  constructor(
    private readonly world: World,
    readonly servers: readonly [RedisServer, ...RedisServer[]],
    /** The longest that a write is on its way to a replica, in ms. */
    private readonly lag: number,
    private readonly onFailover: OnFailover,
  ) {
    [this.primary, ...this.replicas] = servers;
    this.known = this.primary;
    for (const replica of this.replicas) replica.follow(this.primary, lag);
  }

  /** Nothing is written to the replicas for a while. */
  stall(ms: number): void {
    for (const replication of this.primary.replications) {
      replication.stalledUntil = this.world.now + ms;
    }
  }

  /** @returns whether there is a replica that can take over */
  failOver(old: OldPrimary, ms: number): boolean {
    const { world, primary } = this;
    if (this.replicas.length === 0 || this.busyUntil > world.now || !primary.isUp) return false;
    this.busyUntil = world.now + ms + 3 * NEWS;
    if (old === 'dies') {
      primary.stop();
      world.after(ms, () => {
        this.promote();
        world.after(2 * NEWS, () => {
          primary.start(false, 0);
          this.rejoin(primary);
        });
      });
    } else {
      this.promote();
      if (old === 'demoted') primary.isPrimary = false;
      // Sentinel ends its connections when it is told.
      world.after(ms + NEWS, () => {
        for (const link of primary.links) link.cut();
        this.rejoin(primary);
      });
    }
    return true;
  }

  /** The replica that has most takes over. */
  private promote(): void {
    const { world, primary } = this;
    const [best] = primary.replications.toSorted((a, b) => b.acknowledged - a.acknowledged);
    if (best === undefined) throw new Error('There is no replica.');
    const next = best.replica;
    const others = this.replicas.filter((replica) => replica !== next);
    primary.replications = [];
    next.isPrimary = true;
    next.offset = best.acknowledged;
    this.primary = next;
    this.onFailover(this, primary, next);
    for (const other of others) other.follow(next, this.lag);
    this.replicas = others;
    world.after(world.between(0, NEWS), () => (this.known = next));
  }

  private rejoin(server: RedisServer): void {
    server.follow(this.primary, this.lag);
    this.replicas = [...this.replicas, server];
  }
}
