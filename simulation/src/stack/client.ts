import { EventEmitter } from 'node:events';
import type { Host } from './host.ts';
import { ReplyError, Status, type Reply } from './lua.ts';
import type { Link, Network } from './network.ts';
import type { RedisServer } from './server.ts';

/** Where a client is, and whom it connects to. */
export interface Site {
  readonly host: Host;
  readonly network: Network;
  /** The server for the next connection, as far as is known: by its address, or as Sentinels have it. */
  readonly locate: () => RedisServer | undefined;
}

/** The options of ioredis that the model has. */
export interface ModelOptions {
  readonly host?: string;
  readonly port?: number;
  readonly keyPrefix?: string;
  readonly lazyConnect?: boolean;
  readonly retryStrategy?: ((attempts: number) => number) | null;
  readonly autoResendUnfulfilledCommands?: boolean;
  readonly maxRetriesPerRequest?: number | null;
  readonly reconnectOnError?: ((error: Error) => boolean | 1 | 2) | null;
}

export const CLOSED = 'Connection is closed.';

interface Command {
  readonly words: string[];
  readonly asking: boolean;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
}

const retryLikeIoredis = (attempts: number): number => Math.min(attempts * 50, 2_000);

/** What a client makes of a reply. */
function decoded(reply: Reply): unknown {
  if (reply instanceof Status) return reply.text;
  if (typeof reply === 'string') {
    return ASCII.test(reply) ? reply : Buffer.from(reply, 'latin1').toString();
  }
  return Array.isArray(reply) ? reply.map(decoded) : reply;
}

// oxlint-disable-next-line no-control-regex -- these are the characters that are one byte
const ASCII = /^[\0-\x7f]*$/;

/** As bytes. Most words stay what they are: so the text of a script is one string, which is hashed once. */
const encoded = (word: string): string =>
  ASCII.test(word) ? word : Buffer.from(word).toString('latin1');

/**
 * A client of one server, or of the one that Sentinels name, with the shape and the ways of ioredis'
 * `Redis`: it connects anew, keeps what is asked for meanwhile, and sends again what had no answer.
 */
export class ModelRedis extends EventEmitter {
  status = 'wait';
  /** How many scripts it was asked to run. */
  scripts = 0;
  private link: Link | undefined;
  private sent: Command[] = [];
  /** Without an answer when the connection was lost. */
  private unanswered: Command[] = [];
  private offline: Command[] = [];
  private attempts = 0;
  private closing = false;
  private generation = 0;
  private connected: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(
    readonly site: Site,
    readonly options: ModelOptions,
    /** Of all connections of the process. */
    private readonly all: Set<ModelRedis>,
  ) {
    super();
    all.add(this);
    if (options.lazyConnect !== true) this.connect().catch(() => {});
  }

  kept(): readonly ModelRedis[] {
    return [this];
  }

  connect(): Promise<void> {
    if (this.status !== 'wait' && this.status !== 'end' && this.status !== 'reconnecting') {
      return Promise.reject(new Error('Redis is already connecting/connected'));
    }
    this.all.add(this);
    this.setStatus('connecting');
    const generation = ++this.generation;
    const { host, network, locate } = this.site;
    return new Promise((resolve, reject) => {
      this.connected = { resolve, reject };
      const server = locate();
      network.connect(host, server, (link) => {
        if (generation !== this.generation) {
          link?.end();
          return;
        }
        // Sentinels end what is connected to a server that is a replica by then.
        if (link === undefined || link.server !== locate()) {
          link?.end();
          this.tell('error', new Error('connect ECONNREFUSED'));
          this.closed();
          return;
        }
        this.link = link;
        link.listen({
          reply: (reply) => this.answered(reply),
          message: (channel, message) => this.tellNow('message', channel, message),
          closed: () => this.closed(),
        });
        this.setStatus('connect');
        this.checkReady(generation, server as RedisServer);
      });
    });
  }

  disconnect(): void {
    this.closing = true;
    this.generation += 1;
    if (this.link === undefined) {
      if (this.status !== 'end') this.end();
      return;
    }
    this.link.end();
    this.link = undefined;
    this.site.network.world.after(0, () => this.site.host.enter(() => this.closed()));
  }

  /** Its process is gone: the connection is closed for it, and what it has sent may still arrive. */
  abandon(): void {
    this.link?.end();
  }

  duplicate(override: ModelOptions = {}): ModelRedis {
    return new ModelRedis(this.site, { ...this.options, ...override }, this.all);
  }

  evalsha(sha: string, keys: number, words: string[]): Promise<unknown> {
    this.scripts += 1;
    return this.command('EVALSHA', sha, String(keys), ...words);
  }

  eval(source: string, keys: number, words: string[]): Promise<unknown> {
    this.scripts += 1;
    return this.command('EVAL', source, String(keys), ...words);
  }

  info(section: string): Promise<unknown> {
    return this.command('INFO', section);
  }

  scan(...words: (string | number)[]): Promise<unknown> {
    return this.command('SCAN', ...words.map(String));
  }

  subscribe(...channels: string[]): Promise<unknown> {
    return this.command('SUBSCRIBE', ...channels);
  }

  ping(): Promise<unknown> {
    return this.command('PING');
  }

  wait(replicas: number, ms: number): Promise<unknown> {
    return this.command('WAIT', String(replicas), String(ms));
  }

  command(...words: string[]): Promise<unknown> {
    return this.request(words, false);
  }

  /** For a cluster, with `ASKING` before it. */
  request(words: string[], asking: boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const command: Command = { words, asking, resolve, reject };
      if (this.status === 'end') {
        reject(new Error(CLOSED));
        return;
      }
      if (this.status === 'wait') this.connect().catch(() => {});
      if (this.status === 'ready') this.send(command);
      else this.offline.push(command);
    });
  }

  private send(command: Command): void {
    this.sent.push(command);
    if (command.asking) this.link?.asks();
    this.link?.send(command.words.map(encoded));
  }

  /** ioredis waits until a server has loaded its data. */
  private checkReady(generation: number, server: RedisServer): void {
    const { host, network } = this.site;
    const { link } = this;
    network.world.after(1, () =>
      host.enter(() => {
        if (generation !== this.generation || link === undefined || this.link !== link) return;
        const loading = server.loadingUntil - network.world.now;
        if (loading > 0) {
          network.world.after(loading, () => host.enter(() => this.checkReady(generation, server)));
          return;
        }
        this.ready();
      }),
    );
  }

  private ready(): void {
    this.attempts = 0;
    this.setStatus('ready');
    this.connected?.resolve();
    this.connected = undefined;
    const { unanswered, offline } = this;
    this.unanswered = [];
    this.offline = [];
    const resends = this.options.autoResendUnfulfilledCommands !== false;
    for (const command of resends ? [...unanswered, ...offline] : offline) this.send(command);
  }

  private answered(reply: Reply): void {
    const command = this.sent.shift();
    if (command === undefined) throw new Error('A reply that nobody asked for.');
    if (!(reply instanceof ReplyError)) {
      command.resolve(decoded(reply));
      return;
    }
    const error = new Error(reply.message);
    error.name = 'ReplyError';
    const reconnects = this.options.reconnectOnError?.(error);
    if (reconnects === true || reconnects === 1 || reconnects === 2) {
      const { link } = this;
      if (reconnects === 2) this.sent.unshift(command);
      else command.reject(error);
      link?.end();
      this.closed();
      return;
    }
    command.reject(error);
  }

  private closed(): void {
    const wasReady = this.status === 'ready';
    this.link = undefined;
    this.generation += 1;
    this.setStatus('close');
    this.connected?.reject(new Error(CLOSED));
    this.connected = undefined;
    if (wasReady && this.sent.length > 0) {
      this.unanswered.push(...this.sent);
      this.sent = [];
    }
    const { retryStrategy = retryLikeIoredis, maxRetriesPerRequest = 20 } = this.options;
    if (this.closing || typeof retryStrategy !== 'function') {
      this.end();
      return;
    }
    const delay = retryStrategy(++this.attempts);
    this.setStatus('reconnecting');
    const { generation } = this;
    const { host, network } = this.site;
    network.world.after(delay, () =>
      host.enter(() => {
        if (generation === this.generation) this.connect().catch(() => {});
      }),
    );
    if (maxRetriesPerRequest !== null && this.attempts % (maxRetriesPerRequest + 1) === 0) {
      this.flush(new Error(`Reached the max retries per request limit (${maxRetriesPerRequest}).`));
    }
  }

  private end(): void {
    this.closing = false;
    this.all.delete(this);
    this.setStatus('end');
    this.flush(new Error(CLOSED));
  }

  private flush(error: Error): void {
    const all = [...this.unanswered, ...this.sent, ...this.offline];
    this.unanswered = [];
    this.sent = [];
    this.offline = [];
    for (const { reject } of all) reject(error);
  }

  private setStatus(status: string): void {
    this.status = status;
    this.tell(status);
  }

  /** Events come later than what they tell of. */
  private tell(event: string, ...args: unknown[]): void {
    const { host, network } = this.site;
    network.world.after(0, () => host.enter(() => this.tellNow(event, ...args)));
  }

  private tellNow(event: string, ...args: unknown[]): void {
    if (event === 'error' && this.listenerCount('error') === 0) return;
    this.emit(event, ...args);
  }
}
