import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createLocker, type Locker } from '@holdfast/core';
import { memcachedStore } from '@holdfast/memcached';
import { Client } from 'memjs';
import { outcomeOf } from '../outcome.ts';
import { Random } from '../random.ts';
import type { Target, TargetKind } from '../target.ts';

const HEADER = 24;

/** A server that is not what it should be. Its word is all there is, so nothing is said of its grants. */
class Replies implements Target {
  private random = new Random(0);
  private count = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly locker: Locker,
  ) {
    server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.sockets.delete(socket));
      socket.on('data', (chunk: Buffer) => this.answer(chunk, socket));
    });
  }

  static async start(): Promise<Target> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = Client.create(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    const store = memcachedStore(client);
    return new Replies(server, createLocker({ store, ttl: 60_000, storeTimeout: 20 }));
  }

  async attack(random: Random): Promise<string | undefined> {
    this.random = random;
    const key = `key-${this.count++}`;
    const calls: Record<string, () => Promise<unknown>> = {
      // A release that is not confirmed is tried again for a while.
      tryLock: async () => void (await this.locker.tryLock(key))?.release(),
      inspect: () => this.locker.inspect(key),
      forceRelease: () => this.locker.forceRelease(key),
    };
    const name = random.pick(Object.keys(calls));
    return (await outcomeOf(name, calls[name] as () => Promise<unknown>)).problem;
  }

  async check(): Promise<undefined> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  async stop(): Promise<void> {
    await this.locker.close();
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private answer(requests: Buffer, socket: Socket): void {
    const { random } = this;
    for (let at = 0; at + HEADER <= requests.length;) {
      const length = HEADER + requests.readUInt32BE(at + 8);
      const reply = this.replyTo(requests.subarray(at, at + length));
      if (random.chance(0.1)) reply[random.below(reply.length)] = random.below(256);
      socket.write(random.chance(0.05) ? random.bytes(100) : reply);
      if (random.chance(0.05)) socket.write(Buffer.alloc(random.below(200_000), 0x81));
      if (random.chance(0.03)) socket.destroy();
      at += length;
    }
  }

  /** To the right request, with anything in it. */
  private replyTo(request: Buffer): Buffer {
    const { random } = this;
    const value = random.chance(0.5)
      ? Buffer.from(JSON.stringify(random.json()))
      : random.bytes(60);
    const reply = Buffer.alloc(HEADER + value.length);
    reply[0] = 0x81;
    reply[1] = request[1] as number;
    reply.writeUInt16BE(random.pick([0, 0, 0, 1, 2, 5, 0x20, 0x81, 0x85, 0xffff]), 6);
    const lie = random.chance(0.05) ? random.pick([0xffff_ffff, 1e6, 3]) : value.length;
    reply.writeUInt32BE(lie, 8);
    request.copy(reply, 12, 12, 16);
    reply.writeBigUInt64BE(BigInt(random.below(3)), 16);
    if (random.chance(0.1)) reply.writeUInt16BE(random.below(65_536), 2);
    value.copy(reply, HEADER);
    return reply;
  }
}

export const memcachedReplies: TargetKind = {
  name: 'memcached-replies',
  share: 5,
  start: () => Replies.start(),
};
