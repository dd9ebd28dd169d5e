import { once } from 'node:events';
import { connect } from 'node:net';
import type { Locker } from '@holdfast/core';
import { until } from '@holdfast/test-servers';
import type { Random } from '../random.ts';
import type { Target } from '../target.ts';

/** A client that has got no answer so far, in ms, leaves. */
const LEAVES = 10;

const BODY = '{"keys":["a","b"],"owner":"task","ttl":5000}';
const REQUESTS = [
  '/orders/7/pay',
  '/orders/7/pay?ttl=500&wait=5',
  '/keys',
  '/orders/%2e%2e/pay',
].map(
  (path) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nX-Owner: task\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${BODY.length}\r\n\r\n${BODY}`,
);

/** An application with locked routes on a port, and what it locks with. */
export interface Served {
  readonly port: number;
  readonly locker: Locker;
  stop(): Promise<void>;
}

/** Anybody who can connect to a route: says every byte itself, and leaves at any time. */
export class HttpTarget implements Target {
  constructor(private readonly site: Served) {}

  async attack(random: Random): Promise<undefined> {
    const socket = connect(this.site.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    const ended = new Promise<void>((resolve) => {
      socket.once('data', () => resolve()).once('close', () => resolve());
      setTimeout(resolve, random.chance(0.2) ? 0 : LEAVES);
    });
    socket.write(requestOf(random), 'latin1');
    if (random.chance(0.1)) socket.write(requestOf(random), 'latin1');
    await ended;
    socket.destroy();
  }

  async check(): Promise<string | undefined> {
    const { locker, port } = this.site;
    await until('no lock is left of requests that are over', () =>
      locker.list().then(
        ({ locks }) => locks.length === 0,
        // The machine is busy, and so is its Redis.
        () => false,
      ),
    );
    const reply = await fetch(`http://127.0.0.1:${port}/orders/1/pay`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: BODY,
    });
    const text = await reply.text();
    return reply.ok ? undefined : `an ordinary request is answered ${reply.status}: ${text}`;
  }

  stop(): Promise<void> {
    return this.site.stop();
  }
}

function requestOf(random: Random): string {
  const good = random.pick(REQUESTS);
  const [head = '', body = ''] = good.split('\r\n\r\n');
  const path = `/orders/${random.urlPart()}/pay`;
  const hostile = JSON.stringify({ keys: random.json(), owner: random.json(), ttl: random.json() });
  const sized = head.replace(/Length: \d+/, `Length: ${Buffer.byteLength(hostile, 'latin1')}`);
  return random.pick<() => string>([
    () => good,
    () => random.mutate(good),
    () => `${random.mutate(head)}\r\n\r\n${body}`,
    () => `${sized}\r\n\r\n${hostile}`,
    () => `${sized}\r\n\r\n${hostile}`,
    () => good.replace('/orders/7/pay', path),
    () => good.replace('X-Owner: task', `X-Owner: ${random.text().replaceAll(/[\r\n]/g, '')}`),
    () => good.replace(/ttl=[^ ]*/, `ttl=${random.urlPart()}`),
    () => good.slice(0, random.below(good.length)),
    () => random.bytes(200).toString('latin1'),
  ])();
}
