import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What a proxy does with the bytes of one direction. */
type Rule = (chunk: Buffer, pair: Pair) => void;

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** The first that the client has sent. */
  said: string;
}

const REMEMBERED = 2_000;

/** A server behind a connection on which things go wrong. */
export interface FaultProxy {
  readonly host: string;
  readonly port: number;
  /** How many chunks clients have sent so far. */
  readonly requests: number;
  /** Lets everything through again. */
  heal(): void;
  /** Replies take `ms` longer. */
  delayReplies(ms: number): void;
  /** Requests take `ms` longer to reach the server. */
  delayRequests(ms: number): void;
  /** The server gets requests, but nobody gets its replies. */
  dropReplies(): void;
  /** Requests vanish. */
  dropRequests(): void;
  /**
   * The next reply is not delivered: its connection is cut instead, after the server has executed the
   * request. `reset` tears it down, otherwise it is closed in order (FIN).
   */
  cutNextReply(how?: { reset?: boolean; after?: number }): void;
  /** Only so many bytes of the next reply are delivered before its connection is closed. */
  truncateNextReply(bytes: number): void;
  /** The next request is not delivered: its connection is cut instead. */
  cutNextRequest(): void;
  /** Connections that have sent something like this get no more replies; those to come do. */
  silence(sent: RegExp): void;
  /** Cuts all connections. */
  cutAll(): void;
  stop(): Promise<void>;
}

class Proxy implements FaultProxy {
  readonly host = '127.0.0.1';
  requests = 0;
  private readonly pairs = new Set<Pair>();
  private onRequest: Rule = forward('server');
  private onReply: Rule = forward('client');

  constructor(
    private readonly listener: Server,
    target: { readonly host: string; readonly port: number },
  ) {
    listener.on('connection', (client: Socket) => {
      const server = connect(target.port, target.host);
      const pair: Pair = { client, server, said: '' };
      this.pairs.add(pair);
      client.on('data', (chunk: Buffer) => {
        this.requests += 1;
        if (pair.said.length < REMEMBERED) pair.said += chunk.toString('latin1');
        this.onRequest(chunk, pair);
      });
      server.on('data', (chunk: Buffer) => this.onReply(chunk, pair));
      const end = (): void => {
        this.pairs.delete(pair);
        client.destroy();
        server.destroy();
      };
      for (const socket of [client, server]) {
        socket.setNoDelay(true);
        socket.on('close', end);
        socket.on('error', end);
      }
    });
  }

  get port(): number {
    return (this.listener.address() as AddressInfo).port;
  }

  heal(): void {
    this.onRequest = forward('server');
    this.onReply = forward('client');
  }

  delayReplies(ms: number): void {
    this.onReply = delayed('client', ms);
  }

  delayRequests(ms: number): void {
    this.onRequest = delayed('server', ms);
  }

  dropReplies(): void {
    this.onReply = () => {};
  }

  dropRequests(): void {
    this.onRequest = () => {};
  }

  cutNextReply({ reset = true, after = 0 }: { reset?: boolean; after?: number } = {}): void {
    let skip = after;
    this.onReply = (chunk, pair) => {
      if (skip-- > 0) {
        forward('client')(chunk, pair);
        return;
      }
      this.heal();
      if (reset) pair.client.resetAndDestroy();
      else pair.client.end();
      pair.server.destroy();
    };
  }

  truncateNextReply(bytes: number): void {
    this.onReply = (chunk, { client, server }) => {
      this.heal();
      client.end(chunk.subarray(0, bytes));
      server.destroy();
    };
  }

  cutNextRequest(): void {
    this.onRequest = (_chunk, { client, server }) => {
      this.heal();
      client.resetAndDestroy();
      server.destroy();
    };
  }

  silence(sent: RegExp): void {
    const silent = new Set([...this.pairs].filter(({ said }) => sent.test(said)));
    this.onReply = (chunk, pair) => {
      if (!silent.has(pair)) forward('client')(chunk, pair);
    };
  }

  cutAll(): void {
    for (const { client } of this.pairs) client.resetAndDestroy();
  }

  async stop(): Promise<void> {
    this.cutAll();
    if (!this.listener.listening) return;
    this.listener.close();
    await once(this.listener, 'close');
  }
}

/** What is on its way to a socket, with the time at which each chunk is due. */
const underway = new WeakMap<Socket, { chunk: Buffer; due: number }[]>();

/** Nothing overtakes what was sent before it, however long that takes. */
function deliver(socket: Socket, chunk: Buffer, ms: number): void {
  const queue = underway.get(socket) ?? [];
  underway.set(socket, queue);
  const due = performance.now() + ms;
  if (ms === 0 && queue.length === 0) {
    if (!socket.destroyed) socket.write(chunk);
    return;
  }
  queue.push({ chunk, due: Math.max(due, queue.at(-1)?.due ?? 0) });
  if (queue.length === 1) setTimeout(() => drain(socket, queue), ms);
}

function drain(socket: Socket, queue: { chunk: Buffer; due: number }[]): void {
  const now = performance.now();
  while (queue[0] !== undefined && queue[0].due <= now + 1) {
    const { chunk } = queue.shift() as { chunk: Buffer };
    if (!socket.destroyed) socket.write(chunk);
  }
  if (queue[0] !== undefined) setTimeout(() => drain(socket, queue), queue[0].due - now);
}

const forward = (to: 'client' | 'server'): Rule => delayed(to, 0);

function delayed(to: 'client' | 'server', ms: number): Rule {
  return (chunk, pair) => deliver(pair[to], chunk, ms);
}

/** Puts a proxy before a server, on a port of its own. */
export async function startProxy(target: {
  readonly host: string;
  readonly port: number;
}): Promise<FaultProxy> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return new Proxy(listener, target);
}
