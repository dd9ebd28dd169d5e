import { slotOf } from '../../../packages/redis/src/commands/slots.ts';
import type { World } from '../world.ts';
import { ReplyError } from './lua.ts';
import type { ReplicaGroup } from './replica-group.ts';
import type { RedisServer, SlotCheck } from './server.ts';

interface Move {
  readonly from: ReplicaGroup;
  readonly to: ReplicaGroup;
}

/** Told that a key has moved. */
export type OnMove = (key: string, from: RedisServer, to: RedisServer) => void;

/** Who has which slot of a cluster, and what moves from one to another. */
export class SlotMap implements SlotCheck {
  groups: readonly ReplicaGroup[] = [];
  private readonly owners = new Map<number, ReplicaGroup>();
  private readonly moves = new Map<number, Move>();

  constructor(
    private readonly world: World,
    private readonly onMove: OnMove,
  ) {}

  /** Who has a key, also while its slot moves. */
  serverOf(key: string): RedisServer {
    const slot = slotOf(key);
    const move = this.moves.get(slot);
    const isMoved = move?.to.primary.data.has(key) === true && !move.from.primary.data.has(key);
    return (isMoved ? move.to : this.ownerOf(slot)).primary;
  }

  /** Whether the keys of a lock may be on two servers. */
  isMoving(lock: string): boolean {
    return this.moves.size > 0 && this.moves.has(slotOf(lock));
  }

  ownerOf(slot: number): ReplicaGroup {
    const [first] = this.groups;
    const usual = this.groups[slot % this.groups.length] ?? first;
    return this.owners.get(slot) ?? (usual as ReplicaGroup);
  }

  refusalOf(server: RedisServer, keys: readonly string[], asking: boolean): ReplyError | undefined {
    const slots = new Set(keys.map(slotOf));
    const [slot = 0] = slots;
    if (slots.size > 1) {
      return new ReplyError("CROSSSLOT Keys in request don't hash to the same slot");
    }
    const owner = this.ownerOf(slot);
    const move = this.moves.get(slot);
    const isMissing = keys.some((key) => !server.data.has(key));
    if (server.isPrimary && owner.servers.includes(server)) {
      if (move === undefined || !isMissing) return undefined;
      return new ReplyError(`ASK ${slot} ${move.to.primary.address}`);
    }
    if (move?.to.primary === server && asking) {
      return isMissing
        ? new ReplyError('TRYAGAIN Multiple keys request during rehashing of slot')
        : undefined;
    }
    return new ReplyError(`MOVED ${slot} ${owner.primary.address}`);
  }

  /** Moves a slot with all its keys, one after the other. */
  move(slot: number, to: ReplicaGroup, ms: number): boolean {
    const { world } = this;
    const from = this.ownerOf(slot);
    if (from === to || this.moves.has(slot)) return false;
    this.moves.set(slot, { from, to });
    const step = (left: number): void => {
      const keys = from.primary.data.keys().filter((key) => slotOf(key) === slot);
      const isOver = left === 0;
      // Whoever fails meanwhile begins again, with what it has.
      const stays = !from.primary.isUp || !to.primary.isUp;
      const moved = stays ? [] : keys.slice(0, isOver ? Infinity : 1);
      for (const key of moved) this.moveKey(key, from.primary, to.primary);
      if (!isOver) {
        world.after(ms / 4, () => step(left - 1));
      } else if (stays) {
        world.after(ms, () => step(0));
      } else {
        this.moves.delete(slot);
        this.owners.set(slot, to);
      }
    };
    step(3);
    return true;
  }

  private moveKey(key: string, from: RedisServer, to: RedisServer): void {
    const { entry } = from.data.copyOf(key);
    if (entry === undefined) return;
    to.data.set(key, entry.value, entry.expiresAt);
    from.data.delete(key);
    to.written();
    from.written();
    this.onMove(key, from, to);
  }
}
