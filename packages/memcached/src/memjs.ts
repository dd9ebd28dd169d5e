import type { Socket } from 'node:net';

/** The part of a memjs client (1.3 or later) that {@link memcachedStore} uses. */
export interface MemjsClient {
  readonly options: { readonly failover?: boolean | undefined };
  readonly servers: readonly MemjsServer[];
  /** Which server has a key. */
  server(key: string): MemjsServer | null | undefined;
}

/** One of the servers of a {@link MemjsClient}. */
export interface MemjsServer {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly options?: object | undefined;
}

/** What memjs calls a server is one connection, made and authenticated when it is first needed. */
export interface MemjsConnection {
  /** Calls back with the connection as soon as it can be used. */
  sock(sasl: boolean, go: (socket: Socket) => void): void;
  /** Calls back, once, if that fails. */
  onError(request: number, callback: (error: unknown) => void): void;
  close(): void;
  readonly _socket?: Socket | undefined;
}

type ServerClass = new (
  host: string,
  port: number,
  username: string | undefined,
  password: string | undefined,
  options: object,
) => MemjsConnection;

/** A connection to a server with the client's own settings and credentials, and nobody else's traffic. */
export function connectionTo(server: MemjsServer): MemjsConnection {
  const { host, port, username, password } = server;
  const options = { ...server.options, keepAlive: true };
  return new (server.constructor as ServerClass)(host, port, username, password, options);
}

/** Its socket, which is there as soon as it is asked for. */
export function socketOf({ _socket: socket }: MemjsConnection): Socket | undefined {
  return socket;
}
