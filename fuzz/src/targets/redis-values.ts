import type { Locker, LockStore } from '@holdfast/core';
import { redisQuorum, redisStore } from '@holdfast/redis';
import type { Redis } from 'ioredis';
import type { Random } from '../random.ts';
import { RedisSite } from '../redis-site.ts';
import type { Target, TargetKind } from '../target.ts';
import { allVerbs } from '../verbs.ts';

/** Somebody who may write our keys. */
class StoredValues implements Target {
  private count = 0;

  constructor(
    private readonly site: RedisSite,
    private readonly admins: readonly Redis[],
    readonly holder: Locker,
    readonly other: Locker,
  ) {}

  static async start(
    databases: number,
    makeStore: (clients: Redis[]) => LockStore,
  ): Promise<Target> {
    const site = await RedisSite.start();
    const connect = (): Redis[] => Array.from({ length: databases }, (_, db) => site.client(db));
    const [holder, other] = [0, 1].map(() => site.locker(makeStore(connect())));
    const target = new StoredValues(site, connect(), holder as Locker, other as Locker);
    await target.check();
    return target;
  }

  async attack(random: Random): Promise<string | undefined> {
    const key = `key-${this.count++}`;
    const lock = `{holdfast:${key}}`;
    const problem = await allVerbs(random, this, key, async () => {
      for (const admin of this.admins) {
        if (random.chance(0.75)) await this.poison(random, admin, lock);
      }
    });
    const names = [lock, `${lock}:queue`];
    for (const admin of this.admins) await admin.del(...names);
    return problem;
  }

  async check(): Promise<string | undefined> {
    const found = await this.other.withLock('fine', () => this.holder.tryLock('fine'));
    return found === null ? undefined : 'a lock was granted that another held';
  }

  stop(): Promise<void> {
    return this.site.stop();
  }

  private async poison(random: Random, admin: Redis, lock: string): Promise<void> {
    const inQueue = random.chance(0.3);
    const name = inQueue ? `${lock}:queue` : lock;
    const value = inQueue ? undefined : await admin.get(name);
    if (random.chance(0.1)) {
      await admin.persist(name);
      return;
    }
    await admin.del(name);
    if (inQueue && random.chance(0.7)) await this.putQueue(random, admin, name);
    else await this.putValue(random, admin, name, value ?? undefined);
    if (random.chance(0.5)) await admin.pexpire(name, 1 + random.below(100_000));
  }

  private putValue(random: Random, admin: Redis, name: string, value?: string): Promise<unknown> {
    const ends = Date.now() + random.pick([-1_000, 1, 60_000, 1e9]);
    const token = `${Date.now()}000`;
    const real =
      value ?? `holdfast:1 held ${ends} 000060000 ${token} 129 - id store/client label =`;
    const likely = [
      real,
      `holdfast:1 reserved ${ends} ${token} store/client`,
      `holdfast:1 kept ${ends} 000060000 ${token} 1 queue id - label owner`,
      token,
    ];
    const field = random.text();
    const put: (() => Promise<unknown>)[] = [
      () => admin.set(name, random.mutate(random.pick(likely))),
      () => admin.set(name, random.mutate(real)),
      () => admin.set(name, random.text()),
      () => admin.set(name, random.bytes(100)),
      () => admin.hset(name, field, random.text()),
      () => admin.rpush(name, field),
      () => admin.sadd(name, field),
      () => admin.xadd(name, '*', field, random.text()),
    ];
    return random.chance(0.7) ? random.pick(put.slice(0, 4))() : random.pick(put)();
  }

  private async putQueue(random: Random, admin: Redis, name: string): Promise<void> {
    const now = Date.now();
    const scores = ['-inf', '+inf', 0, -1, 1, now, now + 5_000, -now, now * 1_000, 1e14, 1e300];
    const entries: (string | number)[] = [];
    for (let left = 1 + random.below(random.chance(0.05) ? 500 : 8); left > 0; left--) {
      const client = random.pick(['store/client', 'a/b', '-', random.word()]);
      const member = random.pick([client, `until ${client}`, `label ${client} x`, random.word()]);
      entries.push(
        random.pick(scores),
        random.chance(0.8) ? member : random.mutate(member).slice(0, 500),
      );
    }
    await admin.zadd(name, ...entries);
  }
}

export const redisValues: TargetKind = {
  name: 'redis-values',
  share: 16,
  start: () => StoredValues.start(1, ([client]) => redisStore(client as Redis)),
};

export const quorumValues: TargetKind = {
  name: 'quorum-values',
  share: 6,
  // Three databases of one server are as good as three servers here.
  start: () => StoredValues.start(3, (clients) => redisQuorum(clients)),
};
