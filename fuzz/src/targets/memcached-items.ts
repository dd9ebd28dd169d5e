import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createLocker, storedKey, type Locker } from '@holdfast/core';
import { memcachedStore } from '@holdfast/memcached';
import { ensureBinaries, MEMCACHED, startMemcached, type TestServer } from '@holdfast/test-servers';
import { Client } from 'memjs';
import type { Random } from '../random.ts';
import type { Target, TargetKind } from '../target.ts';
import { allVerbs } from '../verbs.ts';

/** Somebody who may write our items: memcached most often has no users. */
class Items implements Target {
  private count = 0;

  private constructor(
    private readonly server: TestServer,
    private readonly socket: Socket,
    readonly holder: Locker,
    readonly other: Locker,
  ) {}

  static async start(): Promise<Target> {
    const [binary = ''] = await ensureBinaries([MEMCACHED]);
    const server = await startMemcached(binary);
    const [holder, other] = [0, 1].map(() => {
      const client = Client.create(`${server.host}:${server.port}`);
      const locker = createLocker({ store: memcachedStore(client), ttl: 60_000 });
      locker.on('lost', () => {});
      return locker;
    });
    const socket = connect(server.port, server.host);
    await once(socket, 'connect');
    return new Items(server, socket, holder as Locker, other as Locker);
  }

  async attack(random: Random): Promise<string | undefined> {
    const key = `key-${this.count++}`;
    return allVerbs(random, this, key, () => this.put(storedKey('holdfast', key), random));
  }

  async check(): Promise<string | undefined> {
    const found = await this.other.withLock('fine', () => this.holder.tryLock('fine'));
    return found === null ? undefined : 'a lock was granted that another held';
  }

  async stop(): Promise<void> {
    await Promise.all([this.holder.close(), this.other.close()]);
    this.socket.destroy();
    await this.server.stop();
  }

  private async put(name: string, random: Random): Promise<void> {
    const given = { id: 'id', owner: 'task', label: 'label', token: 5, over: 'x', kept: true };
    const item = { v: 1, ...given };
    const fields = Object.entries(item).map(([field, value]) => [
      random.chance(0.1) ? random.text() : field,
      random.chance(0.3) ? random.json() : value,
    ]);
    const text = JSON.stringify(Object.fromEntries(fields));
    const value = random.pick<() => string | Buffer>([
      () => text,
      () => random.mutate(text),
      () => JSON.stringify(random.json()),
      () => random.text(),
      () => random.bytes(100),
    ])();
    const bytes = Buffer.from(value as string);
    const exptime = random.pick([0, 1, 100]);
    const command = `set ${name} ${random.below(65_536)} ${exptime} ${bytes.length}\r\n`;
    this.socket.write(Buffer.concat([Buffer.from(command), bytes, Buffer.from('\r\n')]));
    await once(this.socket, 'data');
  }
}

export const memcachedItems: TargetKind = {
  name: 'memcached-items',
  share: 10,
  start: () => Items.start(),
};
