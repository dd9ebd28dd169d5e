import type { Redis } from 'ioredis';

export const PER_TENANT = 3;
export const IN_ALL = 10;
export const TENANTS = ['ash', 'birch', 'cedar', 'elm', 'fir'];
const EACH = 24;

/** A report that a tenant has asked for. */
export interface Report {
  readonly id: string;
  readonly tenant: string;
}

/** All of them, in the order in which they were asked for. */
export const REPORTS: readonly Report[] = Array.from({ length: EACH }, (_, number) =>
  TENANTS.map((tenant) => ({ id: `${tenant}-${number}`, tenant })),
).flat();

/**
 * A report begins: notes how many run now, and the most so far, of its tenant and of all.
 *
 * KEYS: those that run, the most so far. ARGV: instance and report, tenant.
 */
const BEGIN = /* lua */ `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local all, same = 0, 0
for _, tenant in ipairs(redis.call('HVALS', KEYS[1])) do
  all = all + 1
  if tenant == ARGV[2] then same = same + 1 end
end
for name, now in pairs({ ['in all'] = all, [ARGV[2]] = same }) do
  if now > tonumber(redis.call('HGET', KEYS[2], name) or 0) then redis.call('HSET', KEYS[2], name, now) end
end
`;

/** The books of an observer: what runs, how many ran at most, and what is done. */
export class Books {
  constructor(
    private readonly redis: Redis,
    private readonly name: string,
  ) {}

  async begin(instance: string, { id, tenant }: Report): Promise<void> {
    const keys = [this.key('running'), this.key('most')];
    await this.redis.eval(BEGIN, 2, ...keys, `${instance}/${id}`, tenant);
  }

  async end(instance: string, { id }: Report): Promise<void> {
    const done = this.redis.multi().sadd(this.key('done'), id);
    await done.hdel(this.key('running'), `${instance}/${id}`).exec();
  }

  /** An instance was killed: it runs nothing any more. */
  async buried(instance: string): Promise<number> {
    const running = await this.redis.hkeys(this.key('running'));
    const its = running.filter((field) => field.startsWith(`${instance}/`));
    if (its.length > 0) await this.redis.hdel(this.key('running'), ...its);
    return its.length;
  }

  async running(instance: string): Promise<number> {
    const running = await this.redis.hkeys(this.key('running'));
    return running.filter((field) => field.startsWith(`${instance}/`)).length;
  }

  async done(): Promise<ReadonlySet<string>> {
    return new Set(await this.redis.smembers(this.key('done')));
  }

  /** By tenant, and `in all`. */
  async most(): Promise<ReadonlyMap<string, number>> {
    const most = await this.redis.hgetall(this.key('most'));
    return new Map(Object.entries(most).map(([name, count]) => [name, Number(count)]));
  }

  private key(part: string): string {
    return `${this.name}:${part}`;
  }
}
