import type { Lock, Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { until } from '@holdfast/test-servers';
import type { Redis } from 'ioredis';
import type { Random } from '../random.ts';
import { RedisSite } from '../redis-site.ts';
import type { Target, TargetKind } from '../target.ts';

const LOCK = '{holdfast:held}';

/** Somebody who may publish on the channels of a holder and of one who waits, and knows their names. */
class Messages implements Target {
  private granted: Lock | undefined = undefined;
  private waiting: Promise<unknown> = Promise.resolve();
  private channels: string[] = [];
  private templates: string[] = [];

  private constructor(
    private readonly site: RedisSite,
    private readonly admin: Redis,
    private readonly holder: Locker,
    private readonly waiter: Locker,
    private readonly held: Lock,
  ) {}

  static async start(): Promise<Messages> {
    const site = await RedisSite.start();
    const [holder, waiter] = [0, 1].map(() => site.locker(redisStore(site.client())));
    const held = await (holder as Locker).lock('held');
    const target = new Messages(site, site.client(), holder as Locker, waiter as Locker, held);
    await target.learn();
    return target;
  }

  async attack(random: Random): Promise<string | undefined> {
    const channel = random.chance(0.9) ? random.pick(this.channels) : random.text();
    const message = random.pick<() => string | Uint8Array>([
      () => random.mutate(random.pick(this.templates)),
      () => random.mutate(random.pick(this.templates)),
      () => random.pick(this.templates),
      () => random.text(),
      () => JSON.stringify(random.json()),
      () => random.bytes(200),
      () => random.pick(['{', ' ', 'lost ', '"', 'wake x ']).repeat(random.below(50_000)),
    ])();
    await this.admin.publish(channel, Buffer.from(message));
    return undefined;
  }

  async check(): Promise<string | undefined> {
    // Behind all that was published: a true message still arrives.
    const marker = await this.holder.lock('marker');
    await this.waiter.forceRelease('marker');
    await until('a true message arrives', () => marker.state === 'lost');
    if (this.granted !== undefined) return 'the lock was granted while another held it';
    if (this.held.state !== 'held') return 'the holder believed that its lock was gone';
    await this.held.extend();
    return undefined;
  }

  async stop(): Promise<void> {
    await this.held.release();
    await until('the one who waits is served', () => this.granted !== undefined);
    await this.waiting;
    await this.site.stop();
  }

  /** What only those see who may look into the server. */
  private async learn(): Promise<void> {
    this.waiting = this.waiter.lock('held').then((lock) => {
      this.granted = lock;
      return lock;
    });
    await until('both listen', async () => {
      this.channels = (await this.admin.pubsub('CHANNELS', 'holdfast:inbox:*')) as string[];
      return this.channels.length === 2;
    });
    await until('the other waits', async () => (await this.admin.exists(`${LOCK}:queue`)) === 1);
    const words = String(await this.admin.get(LOCK)).split(' ');
    const [id = '', holder = ''] = words.slice(6);
    const queue = await this.admin.zrange(`${LOCK}:queue`, '0', '-1');
    const waiter = String(queue.find((member) => !member.includes(' ')));
    const reasons = ['forced', 'superseded', 'stolen', '<script>'];
    this.templates = [
      ...reasons.map((reason) => `lost ${holder} ${reason} ${id} ${LOCK}`),
      `wake ${waiter} ${LOCK}`,
      `wake ${holder} ${LOCK}`,
      `lost ${waiter} forced ${id} ${LOCK}`,
    ];
  }
}

export const redisMessages: TargetKind = {
  name: 'redis-messages',
  share: 44,
  start: () => Messages.start(),
};
