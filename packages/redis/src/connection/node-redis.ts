import { Answers } from './answers.ts';
import { NodeRedisMessages, NodeRedisWaiting } from './node-redis-own.ts';
import type { NodeRedisClient, NodeRedisCluster, NodeRedisSentinel } from './node-redis-types.ts';
import { onePerClient } from './one-per-client.ts';
import type {
  ClientPort,
  ClientState,
  ClientWatcher,
  MessageConnection,
  MessageListener,
  Primary,
} from './port.ts';
import { listenTo, Watchers } from './watchers.ts';

// All that is node-redis' own, 5 and 6: one class for each kind of client.

/** As the server has written it, whatever the user wants replies to be made into. */
const PLAIN = { typeMapping: undefined };

/** The port of a client that has the shape of one of node-redis'; always the same one. */
export const nodeRedisPort = onePerClient(portFor);

function portFor(client: object): ClientPort | undefined {
  const { isOpen, masters } = client as Partial<NodeRedisCluster>;
  if (typeof isOpen !== 'boolean' || !has(client, 'sendCommand', 'on', 'off', 'destroy')) {
    return undefined;
  }
  if (has(client, 'nodeClient') && Array.isArray(masters)) {
    return new ClusterPort(client as NodeRedisCluster);
  }
  if (has(client, 'getMasterNode', '_execute'))
    return new SentinelPort(client as NodeRedisSentinel);
  if (has(client, 'duplicate', 'subscribe', 'connect')) {
    return 'isReady' in client ? new SinglePort(client as NodeRedisClient) : undefined;
  }
  return undefined;
}

function has(client: object, ...methods: string[]): boolean {
  return methods.every((name) => typeof (client as Record<string, unknown>)[name] === 'function');
}

/** What all kinds of clients have in common. */
abstract class NodeRedisPort<
  C extends NodeRedisClient | NodeRedisCluster | NodeRedisSentinel,
> implements ClientPort {
  readonly isCluster: boolean = false;
  readonly canWait = true;
  readonly keyPrefix: string;
  protected readonly watchers = new Watchers(() => this.listen());

  constructor(protected readonly client: C) {
    const { _keyPrefix } = client as { readonly _keyPrefix?: { toString(): string } | undefined };
    this.keyPrefix = _keyPrefix?.toString() ?? '';
  }

  abstract get state(): ClientState;
  abstract get readOnlyRemedy(): string | undefined;
  abstract primaries(): Promise<readonly Primary[]>;
  abstract openMessages(listener: MessageListener): MessageConnection;
  /** To the server that has the key, which may write. */
  protected abstract send(key: string, args: string[]): Promise<unknown>;
  /** Listens to the client. @returns ends it */
  protected abstract listen(): () => void;

  evalsha(sha: string, keys: number, words: string[]): Promise<unknown> {
    return this.script(['EVALSHA', sha], keys, words);
  }

  eval(source: string, keys: number, words: string[]): Promise<unknown> {
    return this.script(['EVAL', source], keys, words);
  }

  /** The client never connects by itself: it is not `idle` before, but as if it were closed. */
  connect(): void {}

  watch(watcher: ClientWatcher): () => void {
    return this.watchers.add(watcher);
  }

  primaryOf(_slot: number): string {
    return '';
  }

  addressOf(told: string): string {
    return told;
  }

  private script(command: string[], keys: number, words: string[]): Promise<unknown> {
    // Asked while it is not open, some versions of a Sentinel client never come back.
    if (!this.client.isOpen) return Promise.reject(new Error('The client is not connected.'));
    const args = scriptArgs(command, this.keyPrefix, keys, words);
    return this.send(args[command.length + 1] as string, args);
  }
}

/** `EVAL` and `EVALSHA`, with what the client itself would put before every key. */
function scriptArgs(command: string[], prefix: string, keys: number, words: string[]): string[] {
  const args = [...command, String(keys)];
  for (const [index, word] of words.entries()) args.push(index < keys ? prefix + word : word);
  return args;
}

const primaryOver = (
  address: string,
  prefix: string,
  node: () => Promise<NodeRedisClient> | NodeRedisClient,
): Primary => ({
  address,
  info: async (section) => String(await (await node()).sendCommand(['INFO', section], PLAIN)),
  scan: async (cursor, pattern, count) =>
    (await node()).sendCommand(['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(count)], PLAIN),
  open: () =>
    new NodeRedisWaiting(node, (command, keys, words) => scriptArgs(command, prefix, keys, words)),
});

class SinglePort extends NodeRedisPort<NodeRedisClient> {
  private wasReady = this.client.isReady;

  get state(): ClientState {
    const { isOpen, isReady } = this.client;
    if (isReady) return 'ready';
    if (!isOpen) return 'closed';
    return this.wasReady ? 'away' : 'opening';
  }

  get readOnlyRemedy(): string {
    return 'Connect it anew: `client.destroy()`, and then `await client.connect()`.';
  }

  async primaries(): Promise<readonly Primary[]> {
    return [primaryOver('', this.keyPrefix, () => this.client)];
  }

  openMessages(listener: MessageListener): MessageConnection {
    return new NodeRedisMessages(() => this.client, listener);
  }

  protected send(_key: string, args: string[]): Promise<unknown> {
    return this.client.sendCommand(args, PLAIN);
  }

  protected listen(): () => void {
    const closed = (): void => this.watchers.tell('away', 'closed');
    return listenTo(this.client, {
      ready: () => {
        this.wasReady = true;
        this.watchers.tell('ready');
      },
      reconnecting: () => this.watchers.tell('away'),
      end: closed,
      terminated: closed,
    });
  }
}

class ClusterPort extends NodeRedisPort<NodeRedisCluster> {
  override readonly isCluster = true;
  /** Nodes whose connection is awaited. Version 5 tells only of the first one of each. */
  private readonly awaited = new WeakSet<NodeRedisClient>();

  get state(): ClientState {
    return this.client.isOpen ? 'ready' : 'closed';
  }

  /** The cluster itself tells the client who may write. */
  get readOnlyRemedy(): undefined {
    return undefined;
  }

  async primaries(): Promise<readonly Primary[]> {
    const { client, keyPrefix } = this;
    return client.masters.map((node) =>
      primaryOver(node.address, keyPrefix, () => client.nodeClient(node)),
    );
  }

  /** Every node passes messages on to all others: one connection to any of them is enough. */
  openMessages(listener: MessageListener): MessageConnection {
    const { client } = this;
    const { masters } = client;
    const node = masters[Math.floor(Math.random() * masters.length)];
    if (node === undefined) throw new Error('No master of the cluster is known.');
    const isMember = (): boolean => client.masters.some(({ address }) => address === node.address);
    return new NodeRedisMessages(() => client.nodeClient(node), listener, isMember);
  }

  override primaryOf(slot: number): string {
    return this.client.slots[slot]?.master.address ?? String(slot);
  }

  protected send(key: string, args: string[]): Promise<unknown> {
    return this.client.sendCommand(key, false, args, PLAIN);
  }

  protected listen(): () => void {
    return listenTo(this.client, {
      'node-reconnecting': () => {
        this.watchers.tell('primaryGone', 'away');
        for (const { client } of this.client.masters) {
          if (client !== undefined && !client.isReady) this.awaitNode(client);
        }
      },
      'node-disconnect': () => this.watchers.tell('primaryGone'),
      connect: () => this.watchers.tell('ready'),
      disconnect: () => this.watchers.tell('away', 'closed'),
    });
  }

  private awaitNode(node: NodeRedisClient): void {
    if (this.awaited.has(node)) return;
    this.awaited.add(node);
    const ready = (): void => {
      node.off('ready', ready);
      this.awaited.delete(node);
      this.watchers.tell('ready');
    };
    node.on('ready', ready);
  }
}

class SentinelPort extends NodeRedisPort<NodeRedisSentinel> {
  private readonly answers = new Answers(this.watchers);

  get state(): ClientState {
    const { isOpen, isReady } = this.client;
    if (isReady) return 'ready';
    return isOpen ? 'away' : 'closed';
  }

  /** The Sentinels tell the client who may write. */
  get readOnlyRemedy(): undefined {
    return undefined;
  }

  async primaries(): Promise<readonly Primary[]> {
    return [primaryOver('', this.keyPrefix, this.primary)];
  }

  openMessages(listener: MessageListener): MessageConnection {
    return new NodeRedisMessages(this.primary, listener);
  }

  protected send(_key: string, args: string[]): Promise<unknown> {
    return this.answers.of(this.client.sendCommand(false, args, PLAIN));
  }

  /** It tells of another primary, and in version 6 of a connection; what it does not tell, answers do. */
  protected listen(): () => void {
    return listenTo(this.client, {
      'topology-change': () => this.answers.lost(),
      reconnecting: () => this.answers.lost(),
      end: () => this.watchers.tell('away', 'closed'),
    });
  }

  /** The client of the present primary, which only what runs a command is given. */
  private readonly primary = (): Promise<NodeRedisClient> => {
    const sentinel = this.client as NodeRedisSentinel & {
      _execute<T>(isReadonly: boolean, run: (node: NodeRedisClient) => Promise<T>): Promise<T>;
    };
    if (!sentinel.isOpen) return Promise.reject(new Error('The client is not connected.'));
    // Not the client itself, which its own commands' look-up would be after a failover.
    // oxlint-disable-next-line no-underscore-dangle -- there is no other way to a client of a node
    return sentinel._execute(false, (node) => Promise.resolve({ node })).then(({ node }) => node);
  };
}
