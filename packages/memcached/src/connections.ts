import { Connection, type ConnectionOwner } from './connection.ts';
import type { MemjsClient, MemjsServer } from './memjs.ts';

/**
 * The store's connections to one server: the current one, and perhaps one that stopped answering,
 * whose late answers still count.
 */
class ServerConnections implements ConnectionOwner {
  private current: Connection | undefined;
  private silent: Connection | undefined;
  private broken = false;

  constructor(
    private readonly server: MemjsServer,
    private readonly onReconnected: () => void,
  ) {}

  /** @param passing whether a new one is to end by itself */
  connection(passing: boolean): Connection {
    return (this.current ??= new Connection(this.server, this, passing));
  }

  close(): void {
    const closed = new Error('The last locker of this memcached store was closed.');
    this.silent?.end(closed);
    this.current?.end(closed);
    this.broken = false;
  }

  onAlive(): void {
    if (this.broken) this.onReconnected();
    this.broken = false;
  }

  onSilent(connection: Connection): void {
    // If a connection never answered, the server is frozen or away. Another connection would not help,
    // and a thousand processes that keep opening new ones would do harm.
    if (connection !== this.current || !connection.alive || this.silent !== undefined) return;
    this.current = undefined;
    this.silent = connection;
    connection.retire();
  }

  onEnd(connection: Connection): void {
    if (connection === this.silent) this.silent = undefined;
    if (connection !== this.current) return;
    this.current = undefined;
    this.broken ||= connection.alive && !connection.passing;
  }
}

/** The store's connections to every server of the client. */
export class Connections {
  private readonly servers = new Map<MemjsServer, ServerConnections>();
  /** Whether a locker waits or holds, and will close what is opened. */
  private used = false;

  constructor(
    private readonly client: MemjsClient,
    /** Called when a server answers again after its connection broke. */
    private readonly onReconnected: () => void,
  ) {}

  /** The connection to the server that has a key. */
  for(key: string): Connection {
    const server = this.client.server(key);
    // memjs answers so, with `failover`, when all servers have failed.
    if (server === null || server === undefined) {
      throw new Error('The memjs client names no server for this key.');
    }
    let connections = this.servers.get(server);
    if (connections === undefined) {
      connections = new ServerConnections(server, this.onReconnected);
      this.servers.set(server, connections);
    }
    return connections.connection(!this.used);
  }

  /** What is opened from now on stays until {@link close}. */
  open(): void {
    this.used = true;
  }

  /** What is asked for afterwards, such as a late release, is asked for all the same. */
  close(): void {
    this.used = false;
    for (const connections of this.servers.values()) connections.close();
  }
}
