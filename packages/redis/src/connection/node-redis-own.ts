import type { NodeRedisClient } from './node-redis-types.ts';
import type { ClientState, MessageConnection, MessageListener, WaitingConnection } from './port.ts';

/**
 * In what a connection of our own differs from the user's: it lives once, and gives up nothing by itself.
 * All else (address, credentials, TLS, protocol, database) stays as the user has it.
 */
const OWN = {
  disableOfflineQueue: false,
  commandsQueueMaxLength: undefined,
  commandOptions: undefined,
  pingInterval: undefined,
  readonly: false,
  clientSideCache: undefined,
  emitInvalidate: false,
  maintNotifications: 'disabled',
};

function copyOf(client: NodeRedisClient): NodeRedisClient {
  const { socket } = (client.options ?? {}) as { readonly socket?: object | undefined };
  const once = { ...socket, reconnectStrategy: false, socketTimeout: undefined };
  return client.duplicate({ ...OWN, socket: once });
}

/** Told of a connection of our own. */
interface OwnListener {
  readonly opened: (client: NodeRedisClient) => void;
  /** Once. */
  readonly ended: (reason: Error | undefined) => void;
}

/** A copy of a client of node-redis, which lives once. */
class OwnConnection {
  private client: NodeRedisClient | undefined;
  private reason: Error | undefined;
  private isReaching = false;
  private isOver = false;

  constructor(
    original: () => Promise<NodeRedisClient> | NodeRedisClient,
    private readonly listener: OwnListener,
  ) {
    this.open(original).catch((error: unknown) => this.end(error));
  }

  close(): void {
    this.isOver = true;
    // Destroyed while it reaches for the server, it would open the connection all the same, and keep it.
    if (!this.isReaching) this.destroy();
  }

  private async open(original: () => Promise<NodeRedisClient> | NodeRedisClient): Promise<void> {
    const node = await original();
    if (this.isOver) return;
    const client = (this.client = copyOf(node));
    // A copy has no listeners of the original's, and an error without one ends the process.
    client.on('error', (error: Error) => {
      this.reason = error;
      if (!client.isOpen) this.end(error);
    });
    client.on('end', () => this.end(this.reason));
    client.on('connect', () => {
      this.isReaching = false;
      if (this.isOver) this.destroy();
    });
    client.on('ready', () => {
      if (!this.isOver) this.listener.opened(client);
    });
    this.isReaching = true;
    await client.connect();
  }

  private end(reason: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.listener.ended(reason instanceof Error ? reason : undefined);
  }

  private destroy(): void {
    try {
      this.client?.destroy();
    } catch {
      // It has ended already.
    }
  }
}

type Original = () => Promise<NodeRedisClient> | NodeRedisClient;

/** A connection for messages. */
export class NodeRedisMessages implements MessageConnection {
  private readonly connection: OwnConnection;
  private client: NodeRedisClient | undefined;

  constructor(
    original: Original,
    private readonly listener: MessageListener,
    /** Whether the server is still one that messages reach. */
    private readonly isMember: () => boolean = () => true,
  ) {
    this.connection = new OwnConnection(original, {
      opened: (client) => {
        this.client = client;
        listener.opened();
      },
      ended: listener.ended,
    });
  }

  async listen(channels: readonly string[]): Promise<void> {
    await this.opened().subscribe([...channels], this.listener.message);
  }

  async ping(): Promise<void> {
    if (!this.isMember()) throw new Error('The server has left the cluster.');
    await this.opened().sendCommand(['PING']);
  }

  close(): void {
    this.connection.close();
  }

  private opened(): NodeRedisClient {
    if (this.client === undefined) throw new Error('The connection is not open.');
    return this.client;
  }
}

/** A connection for requests that keep it busy. */
export class NodeRedisWaiting implements WaitingConnection {
  state: ClientState = 'opening';
  private readonly connection: OwnConnection;
  private readonly opened: Promise<NodeRedisClient>;
  private fail: (reason: Error) => void = () => {};

  constructor(
    original: Original,
    private readonly argsOf: (command: string[], keys: number, words: string[]) => string[],
  ) {
    let resolve: (client: NodeRedisClient) => void = () => {};
    this.opened = new Promise((resolved, rejected) => {
      resolve = resolved;
      this.fail = rejected;
    });
    this.opened.catch(() => {});
    this.connection = new OwnConnection(original, {
      opened: (client) => {
        this.state = 'ready';
        resolve(client);
      },
      ended: (reason) => this.ended(reason ?? new Error('The connection has ended.')),
    });
  }

  eval(source: string, keys: number, words: string[]): Promise<unknown> {
    return this.send(this.argsOf(['EVAL', source], keys, words));
  }

  async wait(replicas: number, ms: number): Promise<number> {
    return Number(await this.send(['WAIT', String(replicas), String(ms)]));
  }

  close(): void {
    this.ended(new Error('The connection is closed.'));
    this.connection.close();
  }

  private async send(args: string[]): Promise<unknown> {
    return (await this.opened).sendCommand(args);
  }

  private ended(reason: Error): void {
    this.state = 'closed';
    this.fail(reason);
  }
}
