import { Connection, type ConnectionOwner } from './connection.ts';
import type { MemjsClient, MemjsServer } from './memjs.ts';

/**
 * Our connections to one server: the current one, and perhaps one that has fallen silent, whose late
 * answers are still listened to.
 */
class Line implements ConnectionOwner {
  private current: Connection | undefined;
  private silent: Connection | undefined;
  private broken = false;

  constructor(
    private readonly server: MemjsServer,
    private readonly onReconnected: () => void,
  ) {}

  get connection(): Connection {
    return (this.current ??= new Connection(this.server, this));
  }

  close(): void {
    const closed = new Error('The store was closed.');
    this.silent?.end(closed);
    this.current?.end(closed);
    this.broken = false;
  }

  onAlive(): void {
    if (this.broken) this.onReconnected();
    this.broken = false;
  }

  onSilent(connection: Connection): void {
    // A connection that never answered tells that the server is frozen or away: one more would not
    // help, and a thousand processes with ever new ones would hurt.
    if (connection !== this.current || !connection.alive || this.silent !== undefined) return;
    this.current = undefined;
    this.silent = connection;
    connection.retire();
  }

  onEnd(connection: Connection): void {
    if (connection === this.silent) this.silent = undefined;
    if (connection !== this.current) return;
    this.current = undefined;
    this.broken ||= connection.alive;
  }
}

/** All our connections: to each server that the client would ask. */
export class Connections {
  private readonly lines = new Map<MemjsServer, Line>();

  constructor(
    private readonly client: MemjsClient,
    /** A server that had gone answers again. */
    private readonly onReconnected: () => void,
  ) {}

  /** The connection to the server that has a key. */
  for(key: string): Connection {
    const server = this.client.server(key);
    // memjs says so when all servers have failed, with `failover`.
    if (server === null || server === undefined) throw new Error('There is no memcached to ask.');
    let line = this.lines.get(server);
    if (line === undefined) {
      line = new Line(server, this.onReconnected);
      this.lines.set(server, line);
    }
    return line.connection;
  }

  close(): void {
    for (const line of this.lines.values()) line.close();
  }
}
