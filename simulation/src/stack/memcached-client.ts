import { EventEmitter } from 'node:events';
import type { ClockTimer } from '@holdfast/core';
import type { Host } from './host.ts';
import { framesIn, type MemcachedServer } from './memcached-server.ts';
import type { Link, Network } from './network.ts';

/** After so many ms memjs gives up to connect. */
const CONNECT_TIMEOUT = 1_000;

/** Where a client is, and whom it connects to. */
interface Site {
  readonly host: Host;
  readonly network: Network;
  readonly server: MemcachedServer;
  /** Of all connections of the process. */
  readonly all: Set<ModelSocket>;
  /** A request is sent. */
  readonly onRequest: () => void;
}

/** A socket of Node's, as far as a store uses one. */
export class ModelSocket extends EventEmitter {
  private link: Link | undefined;
  private isOver = false;

  constructor(private readonly site: Site) {
    super();
    site.all.add(this);
  }

  /** @param done told whether there is a connection; nothing if it was destroyed meanwhile */
  connect(done: (isConnected: boolean) => void): void {
    const { host, network, server } = this.site;
    network.connect(host, server, (link) => {
      if (this.isOver || link === undefined) {
        link?.end();
        if (!this.isOver) done(false);
        return;
      }
      this.link = link;
      link.listen({
        reply: (reply) => void this.emit('data', Buffer.from(reply as string, 'latin1')),
        message: () => {},
        closed: () => this.destroy(),
      });
      done(true);
    });
  }

  setNoDelay(): void {}

  unref(): void {}

  write(bytes: Buffer): void {
    for (const frame of framesIn(bytes)) {
      this.site.onRequest();
      this.link?.send([frame]);
    }
  }

  end(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.abandon();
    this.link = undefined;
    const { host, network, all } = this.site;
    all.delete(this);
    network.world.after(0, () => host.enter(() => void this.emit('close')));
  }

  /** Its process is gone: the connection is closed for it, and what it has sent may still arrive. */
  abandon(): void {
    this.link?.end();
  }
}

/** What memjs calls a server: where it is, and one connection to it. It has the shape and the ways of memjs'. */
class ModelMemjsServer {
  private socket: ModelSocket | undefined;
  private isConnected = false;
  private timer: ClockTimer | undefined;
  private failed: ((error: unknown) => void) | undefined;

  constructor(
    readonly host: string,
    readonly port: number,
    readonly username: string | undefined,
    readonly password: string | undefined,
    readonly options: { readonly site: Site },
  ) {}

  // Its name there.
  get _socket(): ModelSocket | undefined {
    return this.socket;
  }

  sock(_sasl: boolean, go: (socket: ModelSocket) => void): void {
    const { site } = this.options;
    const socket = new ModelSocket(site);
    this.socket = socket;
    socket.on('close', () => this.over());
    this.timer = site.host.setTimeout(() => {
      this.error(new Error('socket timed out connecting to server.'));
    }, CONNECT_TIMEOUT);
    socket.connect((isConnected) => {
      if (!isConnected) {
        this.error(new Error('connect ECONNREFUSED'));
        return;
      }
      this.clearTimer();
      this.isConnected = true;
      go(socket);
    });
  }

  onError(_request: number, callback: (error: unknown) => void): void {
    this.failed = callback;
  }

  close(): void {
    this.socket?.end();
  }

  private error(error: Error): void {
    if (this.isConnected) return;
    const { failed } = this;
    this.failed = undefined;
    this.socket?.destroy();
    this.over();
    failed?.(error);
  }

  private over(): void {
    this.clearTimer();
    this.socket = undefined;
  }

  private clearTimer(): void {
    if (this.timer !== undefined) this.options.site.host.clearTimeout(this.timer);
    this.timer = undefined;
  }
}

/** A client of one memcached, as memjs makes it. */
export class ModelMemjs {
  readonly options = {};
  readonly servers: readonly ModelMemjsServer[];
  /** How many requests for items were sent. */
  scripts = 0;

  constructor(host: Host, network: Network, server: MemcachedServer, all: Set<ModelSocket>) {
    const onRequest = (): void => void (this.scripts += 1);
    const site = { host, network, server, all, onRequest };
    this.servers = [new ModelMemjsServer(server.host, server.port, undefined, undefined, { site })];
  }

  server(): ModelMemjsServer {
    return this.servers[0] as ModelMemjsServer;
  }

  /** It has made no connection of its own. */
  kept(): readonly ModelSocket[] {
    return [];
  }

  eventNames(): readonly string[] {
    return [];
  }
}
