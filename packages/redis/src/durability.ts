import { checkOptions, LockArgumentError, LockStoreError } from '@holdfast/core';
import type { ClientPort, Primary, WaitingConnection } from './connection/port.ts';
import { lockKey } from './redis-keys.ts';
import { CONFIRMATIONS } from './scripts/confirm.ts';
import { toNumber } from './scripts/script.ts';
import { slotOf } from './commands/slots.ts';
import { checkTimeout } from './option-checks.ts';

/** Option `durability` of `redisStore()`. */
export interface RedisDurability {
  /** How many replicas must have a grant before it counts; at least 1. */
  readonly minReplicas: number;
  /** How long they may take for it, in ms. Well below half of the ttl, or the locker gives up before. */
  readonly timeout: number;
}

/** What the server has on top of `timeout` for its answer, in ms. */
const SLACK = 250;

/** @throws LockArgumentError */
export function checkDurability(durability: RedisDurability, client: ClientPort): RedisDurability {
  checkOptions<RedisDurability>(durability, { minReplicas: true, timeout: true }, 'durability');
  const { minReplicas, timeout } = durability as Partial<RedisDurability>;
  if (!Number.isInteger(minReplicas) || (minReplicas as number) < 1) {
    throw new LockArgumentError('`durability.minReplicas` must be a whole number, at least 1.');
  }
  if (!client.canWait) {
    throw new LockArgumentError(
      '`durability` needs a client of ioredis, iovalkey or node-redis: GLIDE connects anew by itself, so ' +
        'it is not known whose replicas have a grant.',
    );
  }
  return {
    minReplicas: minReplicas as number,
    timeout: checkTimeout('durability.timeout', timeout),
  };
}

interface Waiting {
  readonly key: string;
  readonly id: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Waits until replicas have a grant, over connections of its own, because whatever is behind a `WAIT`
 * on a connection waits too. Only one wait is under way per server; the grants that are made meanwhile
 * share the next one.
 */
export class Durability {
  /** By the address of a cluster's node; one without an address for a single server. */
  private readonly lanes = new Map<string, Lane>();
  /** In a cluster: where a slot was found. */
  private readonly addresses = new Map<number, string>();
  /** Present while a connection may be open. */
  private unwatch: (() => void) | undefined;

  constructor(
    private readonly client: ClientPort,
    private readonly options: RedisDurability,
  ) {}

  /** @throws LockStoreError if too few replicas have the grant, or it is gone */
  async confirm(key: string, id: string): Promise<void> {
    const { client } = this;
    const slot = client.isCluster ? slotOf(client.keyPrefix + lockKey(key)) : 0;
    const masters = new Map(
      (await client.primaries()).map((primary) => [primary.address, primary]),
    );
    const [fallback = ''] = masters.keys();
    let address = this.addresses.get(slot) ?? fallback;
    // Each master is asked once at most.
    for (let asked = 0; asked <= masters.size; asked++) {
      const primary = masters.get(address) ?? masters.get(fallback);
      if (primary === undefined) break;
      try {
        await this.laneOf(primary).confirm(key, id);
        this.addresses.set(slot, address);
        return;
      } catch (error) {
        const moved = /^MOVED \d+ (\S+)$/.exec(error instanceof Error ? error.message : '');
        if (moved === null) throw error;
        this.addresses.delete(slot);
        address = client.addressOf(moved[1] as string);
      }
    }
    throw refused('No master of the cluster is known to have the lock.');
  }

  close(): void {
    this.unwatch?.();
    this.unwatch = undefined;
    for (const lane of this.lanes.values()) lane.close();
    this.lanes.clear();
    this.addresses.clear();
  }

  private laneOf(primary: Primary): Lane {
    let lane = this.lanes.get(primary.address);
    if (lane === undefined) {
      lane = new Lane(primary, this.options);
      this.lanes.set(primary.address, lane);
    }
    // The user may close the client.
    this.unwatch ??= this.client.watch({ closed: () => this.close() });
    return lane;
  }
}

/** One connection, and those whose grants it waits for. */
class Lane {
  private connection: WaitingConnection | undefined;
  private waiting: Waiting[] = [];
  private busy = false;

  constructor(
    private readonly primary: Primary,
    private readonly options: RedisDurability,
  ) {}

  confirm(key: string, id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ key, id, resolve, reject });
      if (!this.busy) void this.work();
    });
  }

  close(): void {
    const { connection } = this;
    this.connection = undefined;
    connection?.close();
    for (const { reject } of this.waiting.splice(0)) reject(refused('The store is closed.'));
  }

  private async work(): Promise<void> {
    this.busy = true;
    while (this.waiting.length > 0) {
      const group = this.waiting.splice(0);
      try {
        await this.confirmAll(group);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.busy = false;
  }

  private async confirmAll(group: readonly Waiting[]): Promise<void> {
    const { minReplicas, timeout } = this.options;
    if (this.connection?.state === 'closed') this.connection = undefined;
    const connection = (this.connection ??= this.primary.open());
    const written = Promise.allSettled(group.map((one) => write(connection, one)));
    const confirmed = written.then(async (results) => {
      const wrote = results.some((result) => result.status === 'fulfilled' && result.value);
      const replicas = wrote ? toNumber(await connection.wait(minReplicas, timeout)) : 0;
      for (const [index, { resolve, reject }] of group.entries()) {
        const result = results[index] as PromiseSettledResult<boolean>;
        if (result.status === 'rejected') reject(result.reason);
        else if (!result.value) reject(refused('The grant is gone.'));
        else if (replicas >= minReplicas) resolve();
        else reject(refused(`Only ${replicas} of ${minReplicas} replicas have the grant.`));
      }
    });
    try {
      await within(confirmed, timeout + SLACK);
    } catch (error) {
      // An answer that is still to come is no answer to what is asked next.
      if (this.connection === connection) this.connection = undefined;
      connection.close();
      throw error;
    }
  }
}

/** Writes what can be waited for. By the script's text, which is short: so there is nothing to know of the server. */
async function write(connection: WaitingConnection, grant: Waiting): Promise<boolean> {
  const { script, keysEach, writeKeys, writeArgs, read } = CONFIRMATIONS;
  const words: string[] = [];
  writeKeys(grant, words);
  writeArgs([grant], words);
  return read(await connection.eval(script.source, keysEach, words), 0, grant, 1);
}

function within<T>(answer: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(refused(`The server did not answer within ${ms} ms.`));
    // After what has arrived by then has been read.
    const timer = setTimeout(() => setImmediate(late), ms);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function refused(message: string): LockStoreError {
  return new LockStoreError(message, { phase: 'acquire' });
}
