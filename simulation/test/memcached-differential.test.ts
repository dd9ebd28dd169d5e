import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { useMemcached } from '@holdfast/test-servers';
import { seededRandom } from '@holdfast/testing';
import { describe, expect, test } from 'vitest';
import * as frames from '../../packages/memcached/src/frames.ts';
import { MemcachedServer } from '../src/stack/memcached-server.ts';
import type { Link } from '../src/stack/network.ts';
import { World } from '../src/world.ts';

const { ADD, DELETE, GET, NOOP, SET } = frames;
const SEEDS = Number(process.env['DIFFERENTIAL_SEEDS'] ?? 8);
const STEPS = 400;
const HEADER = 24;

const memcached = useMemcached();

/** One connection to the real server, for one request at a time. */
class Real {
  private rest = Buffer.alloc(0);

  private constructor(private readonly socket: Socket) {}

  static async open(): Promise<Real> {
    const [host = '', port] = memcached.servers.split(':');
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    return new Real(socket);
  }

  async ask(frame: Buffer): Promise<Buffer> {
    this.socket.write(frame);
    let length = HEADER;
    while (this.rest.length < length) {
      const [chunk] = (await once(this.socket, 'data')) as [Buffer];
      this.rest = Buffer.concat([this.rest, chunk]);
      if (this.rest.length >= HEADER) length = HEADER + this.rest.readUInt32BE(8);
    }
    const reply = this.rest.subarray(0, length);
    this.rest = this.rest.subarray(length);
    return reply;
  }

  end(): void {
    this.socket.destroy();
  }
}

/** A model in the time of its own world. */
class Model {
  private readonly world = new World(1);
  private readonly link = { host: { name: '' } } as Link;
  private readonly server = new MemcachedServer('model', 0, this.world, 1, () => {});

  ask(frame: Buffer): Buffer {
    const reply = this.server.run(this.link, [frame.toString('latin1')]);
    return Buffer.from(reply, 'latin1');
  }

  sleep(ms: number): void {
    this.world.now += ms;
  }
}

/** CAS ids of both servers, which may count with gaps: the same ones belong together, in the same order. */
class CasIds {
  private readonly known: { readonly real: bigint; readonly model: bigint }[] = [];

  constructor() {
    // No id at all, and one that no item has.
    for (const id of [0n, 2n ** 60n]) this.known.push({ real: id, model: id });
  }

  pick(random: () => number): { readonly real: bigint; readonly model: bigint } {
    const latest = this.known.slice(-6);
    const all = random() < 0.5 ? this.known.slice(0, 2) : latest;
    return all[Math.floor(random() * all.length)] as { real: bigint; model: bigint };
  }

  /** Whether both replies have the same one. */
  agree(real: Buffer, model: Buffer): boolean {
    const [one, other] = [real, model].map((reply) => reply.readBigUInt64BE(16)) as [
      bigint,
      bigint,
    ];
    const known = this.known.find((pair) => pair.real === one || pair.model === other);
    if (known !== undefined) return known.real === one && known.model === other;
    const isNewest = this.known.slice(2).every((pair) => pair.real < one && pair.model < other);
    this.known.push({ real: one, model: other });
    return isNewest;
  }
}

function requestOf(
  opcode: number,
  key: string,
  cas: bigint,
  value: string,
): Parameters<typeof frames.requestFrame> {
  if (opcode === NOOP) return [NOOP, '', 0n];
  if (opcode === GET) return [GET, key, 0n];
  if (opcode === DELETE) return [DELETE, key, cas];
  // So long that none runs out in this test.
  return [opcode, key, opcode === ADD ? 0n : cas, value, 600];
}

/** A reply without its CAS id. */
const shown = (reply: Buffer): string =>
  `${reply.toString('hex', 0, 16)} ${reply.toString('latin1', HEADER)}`;

describe('the model of memcached', () => {
  test.concurrent.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'answers requests as the server does, byte by byte, seed %i',
    async (seed) => {
      const random = seededRandom(seed);
      const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
      const [real, model, ids] = [await Real.open(), new Model(), new CasIds()];
      const keys = ['a', 'b', 'ü'].map((name) => `${seed}:${name}`);
      // It may have them from another run.
      for (const key of keys) await real.ask(frames.requestFrame(DELETE, key, 0n));
      const log: string[] = [];
      for (let step = 0; step < STEPS; step++) {
        const [opcode, key, cas] = [
          pick([GET, GET, SET, SET, ADD, DELETE, NOOP]),
          pick(keys),
          ids.pick(random),
        ];
        const value = pick(['', 'value', '{"v":1,"id":"x"}', 'ä'.repeat(200)]);
        const frameWith = (id: bigint): Buffer => {
          const frame = frames.requestFrame(...requestOf(opcode, key, id, value));
          frames.setOpaque(frame, step);
          return frame;
        };
        log.push(`${opcode} ${key} ${cas.model} ${value.slice(0, 20)}`);
        const [is, expected] = [
          model.ask(frameWith(cas.model)),
          await real.ask(frameWith(cas.real)),
        ];
        const context = log.slice(-8).join('\n');
        const agree = ids.agree(expected, is);
        expect({ context, is: shown(is), agree }).toEqual({
          context,
          is: shown(expected),
          agree: true,
        });
      }
      real.end();
    },
  );

  test.concurrent.each([1, 2, 3])(
    'lets an item live for as long as the server does, with an exptime of %i',
    async (exptime) => {
      const real = await Real.open();
      const add = frames.requestFrame(ADD, `lives for ${exptime}`, 0n, 'value', exptime);
      const get = frames.requestFrame(GET, `lives for ${exptime}`, 0n);
      const isThere = (reply: Buffer): boolean => reply.readUInt16BE(6) === 0;
      await real.ask(frames.requestFrame(DELETE, `lives for ${exptime}`, 0n));
      const from = performance.now();
      expect(isThere(await real.ask(add))).toBe(true);
      while (isThere(await real.ask(get))) await sleep(20);
      const lived = performance.now() - from;
      real.end();
      // At whatever time within a second it is written.
      const lives = Array.from({ length: 40 }, (_, phase) => {
        const model = new Model();
        model.sleep(phase * 25);
        expect(isThere(model.ask(add))).toBe(true);
        let ms = 0;
        for (; isThere(model.ask(get)); ms += 5) model.sleep(5);
        return ms;
      });
      const shortest = (exptime - 1) * 1_000;
      expect(Math.min(...lives)).toBeGreaterThan(shortest - 100);
      expect(Math.min(...lives)).toBeLessThan(shortest + 100);
      expect(Math.max(...lives)).toBeLessThanOrEqual(shortest + 1_100);
      // The machine may be slow, and then it is found to live longer.
      expect(lived).toBeGreaterThan(shortest - 100);
    },
  );
});
