import type { RedisClient, RedisCluster } from './client.ts';
import { onePerClient } from './one-per-client.ts';
import type {
  ClientPort,
  ClientState,
  ClientWatcher,
  MessageConnection,
  MessageListener,
  Primary,
  WaitingConnection,
} from './port.ts';
import { listenTo, Watchers } from './watchers.ts';

// All that is ioredis' own, 5.3 to 6, and iovalkey's, which has the same shape.

/** The members of ioredis' `Redis` that only connections of our own need. */
type OwnClient = RedisClient & {
  ping(): Promise<unknown>;
  wait(replicas: number, ms: number): Promise<number>;
};

interface ClusterOptions {
  readonly redisOptions?: { readonly username?: unknown; readonly password?: unknown };
  readonly natMap?:
    | Readonly<Record<string, NodeAddress>>
    | ((told: string) => NodeAddress | null | undefined);
}

interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * In what a connection of our own differs from the user's: it lives once, decodes replies as ioredis
 * does by default, and gives up nothing by itself. All else (credentials, TLS, address family, name
 * look-up, Sentinels, database) stays as the user has it.
 */
const OWN = {
  lazyConnect: true,
  retryStrategy: null,
  sentinelRetryStrategy: null,
  reconnectOnError: null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: null,
  enableOfflineQueue: true,
  enableAutoPipelining: false,
  commandTimeout: undefined,
  socketTimeout: undefined,
  disconnectTimeout: 200,
  readOnly: false,
  stringNumbers: false,
  replyMapping: 'legacy',
  himportFieldsets: undefined,
};

const STATES: Readonly<Record<string, ClientState>> = {
  wait: 'idle',
  connecting: 'opening',
  connect: 'opening',
  ready: 'ready',
  end: 'closed',
};

const READ_ONLY_REMEDY =
  "Give it ioredis' option `reconnectOnError: (error) => error.message.startsWith('READONLY') ? 2 : false`.";

/** The port of a client that has the shape of ioredis' `Redis` or `Cluster`; always the same one. */
export const ioredisPort = onePerClient((client) =>
  isIoredis(client) ? new IoredisPort(client) : undefined,
);

function isIoredis(client: object): client is RedisClient | RedisCluster {
  const { status, options, evalsha, duplicate, on } = client as Partial<RedisClient>;
  return (
    typeof status === 'string' &&
    typeof options === 'object' &&
    [evalsha, duplicate, on].every((member) => typeof member === 'function')
  );
}

function isCluster(client: RedisClient | RedisCluster): client is RedisCluster {
  return typeof (client as Partial<RedisCluster>).nodes === 'function';
}

class IoredisPort implements ClientPort {
  readonly isCluster: boolean;
  readonly canWait = true;
  private readonly watchers = new Watchers(() =>
    listenTo(this.client, {
      close: () => this.watchers.tell('away'),
      ready: () => this.watchers.tell('ready'),
      end: () => this.watchers.tell('closed'),
      '-node': () => this.watchers.tell('primaryGone'),
    }),
  );

  constructor(private readonly client: RedisClient | RedisCluster) {
    this.isCluster = isCluster(client);
  }

  get keyPrefix(): string {
    return this.client.options.keyPrefix ?? '';
  }

  get state(): ClientState {
    return STATES[this.client.status] ?? 'away';
  }

  evalsha(sha: string, keys: number, words: string[]): Promise<unknown> {
    return this.client.evalsha(sha, keys, words);
  }

  eval(source: string, keys: number, words: string[]): Promise<unknown> {
    return this.client.eval(source, keys, words);
  }

  connect(): void {
    this.client.connect().catch(() => {});
  }

  watch(watcher: ClientWatcher): () => void {
    return this.watchers.add(watcher);
  }

  openMessages(listener: MessageListener): MessageConnection {
    const { client } = this;
    if (!isCluster(client)) return new Messages(own(client, ''), listener);
    // Every node passes messages on to all others: one connection to any of them is enough.
    const masters = client.nodes('master');
    const node = masters[Math.floor(Math.random() * masters.length)];
    if (node === undefined) throw new Error('No master of the cluster is known.');
    const address = addressOfNode(node);
    const isMember = (): boolean => client.nodes().some((one) => addressOfNode(one) === address);
    return new Messages(own(node, '', credentialsOf(client)), listener, isMember);
  }

  get readOnlyRemedy(): string | undefined {
    const { reconnectOnError } = this.client.options as { reconnectOnError?: unknown };
    return typeof reconnectOnError === 'function' ? undefined : READ_ONLY_REMEDY;
  }

  primaryOf(slot: number): string {
    const { slots } = this.client as { slots?: readonly (readonly string[] | undefined)[] };
    return this.isCluster ? (slots?.[slot]?.[0] ?? String(slot)) : '';
  }

  async primaries(): Promise<readonly Primary[]> {
    const { client, keyPrefix } = this;
    const primary = (address: string, node: RedisClient, override?: object): Primary => ({
      address,
      info: (section) => node.info(section),
      scan: (cursor, pattern, count) => node.scan(cursor, 'MATCH', pattern, 'COUNT', count),
      open: () => new Waiting(own(node, keyPrefix, { maxRetriesPerRequest: 0, ...override })),
    });
    if (!isCluster(client)) return [primary('', client)];
    const credentials = credentialsOf(client);
    return client.nodes('master').map((node) => primary(addressOfNode(node), node, credentials));
  }

  addressOf(told: string): string {
    const { natMap } = this.client.options as ClusterOptions;
    const mapped = typeof natMap === 'function' ? natMap(told) : natMap?.[told];
    return mapped ? `${mapped.host}:${mapped.port}` : told;
  }
}

/**
 * A copy of a connection, with the options that it has now, and with others.
 *
 * For a node of a cluster too: `Cluster.duplicate()` of ioredis 5 drops `redisOptions` where one of
 * them is to differ, and its subscriber takes neither the address family nor most other options.
 */
function own(client: RedisClient, keyPrefix: string, override: object = {}): OwnClient {
  const copy = client.duplicate({ ...OWN, keyPrefix, ...override }) as OwnClient;
  // Without a listener ioredis prints it. What fails is told by the end.
  copy.on('error', () => {});
  return copy;
}

/** A node keeps the credentials it was made with; the user may have changed the cluster's since. */
function credentialsOf(cluster: RedisCluster): object {
  const { username, password } = (cluster.options as ClusterOptions).redisOptions ?? {};
  if (password === undefined || password === null) return {};
  return username === undefined ? { password } : { username, password };
}

function addressOfNode({ options }: RedisClient): string {
  const { host = '', port = 0 } = options as Partial<NodeAddress>;
  return `${host}:${port}`;
}

class Messages implements MessageConnection {
  constructor(
    private readonly connection: OwnClient,
    listener: MessageListener,
    /** Whether the server is still one that messages reach. */
    private readonly isMember: () => boolean = () => true,
  ) {
    let reason: Error | undefined;
    connection.on('error', (error: Error) => (reason = error));
    connection.on('ready', listener.opened);
    connection.on('message', (_channel: string, text: string) => listener.message(text));
    connection.on('end', () => listener.ended(reason));
    connection.connect().catch(() => {});
  }

  async listen(channels: readonly string[]): Promise<void> {
    await this.connection.subscribe(...channels);
  }

  async ping(): Promise<void> {
    if (!this.isMember()) throw new Error('The server has left the cluster.');
    await this.connection.ping();
  }

  close(): void {
    this.connection.disconnect();
  }
}

class Waiting extends IoredisPort implements WaitingConnection {
  constructor(private readonly connection: OwnClient) {
    super(connection);
    this.connect();
  }

  wait(replicas: number, ms: number): Promise<number> {
    return this.connection.wait(replicas, ms);
  }

  close(): void {
    this.connection.disconnect();
  }
}
