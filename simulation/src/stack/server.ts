import { createHash } from 'node:crypto';
import type { World } from '../world.ts';
import { BRANCH, type Branches } from './branches.ts';
import { answerOf, commandOf, type CommandContext } from './commands.ts';
import { Dataset, type Change } from './dataset.ts';
import { ReplyError, Status, type LuaRuntime, type Reply } from './lua.ts';
import { BEHIND, type Link } from './network.ts';
import { StackServer } from './stack-server.ts';

const READ_ONLY = new ReplyError("READONLY You can't write against a read only replica.");
const FULL = new ReplyError("OOM command not allowed when used memory > 'maxmemory'.");
const LOADING = new ReplyError('LOADING Redis is loading the dataset in memory');
const NO_SCRIPT = new ReplyError('NOSCRIPT No matching script. Please use EVAL.');

const shas = new Map<string, string>();

function shaOf(source: string): string {
  let sha = shas.get(source);
  if (sha === undefined) {
    sha = createHash('sha1').update(source).digest('hex');
    shas.set(source, sha);
  }
  return sha;
}

/** Which server of a cluster has the keys of a command, as that server answers. */
export interface SlotCheck {
  /** What it answers instead of running the command; nothing where it runs it. */
  refusalOf(server: RedisServer, keys: readonly string[], asking: boolean): ReplyError | undefined;
}

/** Told which script ran, for the keys of which locks and for which process. */
export type OnScript = (
  server: RedisServer,
  keys: readonly string[],
  source: string,
  client: string,
) => void;

interface ServerOptions {
  readonly lua: LuaRuntime;
  /** Told after each script that ran. */
  readonly onScript: OnScript;
  /** A bug put into the scripts on purpose. */
  readonly rewrite: (source: string) => string;
  readonly slots?: SlotCheck | undefined;
  /** Told which branches of the scripts are taken. */
  readonly branches?: Branches | undefined;
}

/** What has been written, on its way to a replica. */
interface Written {
  readonly offset: number;
  readonly changes: readonly Change[];
}

/** A replica as its primary sees it. */
class Replication {
  /** What it has, and has said so. */
  acknowledged: number;
  /** While it is stalled nothing arrives. */
  stalledUntil = 0;
  private arrivesAt = 0;

  constructor(
    private readonly world: World,
    private readonly primary: RedisServer,
    readonly replica: RedisServer,
    private readonly lag: number,
  ) {
    this.acknowledged = primary.offset;
  }

  send({ offset, changes }: Written): void {
    const { world, replica } = this;
    const due = Math.max(world.now, this.stalledUntil) + world.network.random() * this.lag;
    this.arrivesAt = Math.max(this.arrivesAt + BEHIND, due);
    const arrive = (): void => {
      if (!this.primary.replications.includes(this)) return;
      if (this.stalledUntil > world.now) {
        world.after(this.stalledUntil - world.now, arrive);
        return;
      }
      for (const change of changes) replica.data.apply(change);
      this.acknowledged = offset;
      this.primary.acknowledged();
    };
    world.after(this.arrivesAt - world.now, arrive);
  }
}

interface Waiter {
  readonly offset: number;
  readonly replicas: number;
  readonly answer: (replicas: number) => void;
}

/**
 * A Redis server: what it holds, its clock, its connections and its replicas. It runs the scripts of
 * Holdfast as they are, by a real Lua.
 */
export class RedisServer extends StackServer {
  readonly data: Dataset;
  loadingUntil = 0;
  /** Refuses what needs memory. */
  isFull = false;
  /** How much has been written. */
  offset = 0;
  replications: Replication[] = [];
  /** Ends up at the same servers as what is published here. */
  readonly neighbours: RedisServer[] = [];
  /** How many commands of clients were run. */
  commands = 0;
  private readonly scripts = new Map<string, string>();
  private waiters: Waiter[] = [];

  constructor(
    host: string,
    port: number,
    world: World,
    rate: number,
    private readonly options: ServerOptions,
  ) {
    super(host, port, world, rate);
    this.data = new Dataset(() => this.now());
  }

  get leastToken(): number {
    return this.micros();
  }

  override stop(): void {
    this.scripts.clear();
    this.waiters = [];
    super.stop();
  }

  start(keepsData: boolean, loading: number): void {
    this.isUp = true;
    if (!keepsData) {
      this.data.clear();
      this.written();
    }
    this.loadingUntil = this.world.now + loading;
  }

  /** Somebody sets the clock. */
  step(ms: number): void {
    this.ahead += ms;
    this.jumped += Math.max(ms, 0);
  }

  flushScripts(): void {
    this.scripts.clear();
  }

  /** Runs a command of a client; an answer may come later. */
  run(link: Link, words: string[]): Reply | Promise<Reply> {
    const [name = '', ...args] = words;
    this.commands += 1;
    if (this.loadingUntil > this.world.now && name !== 'PING') return LOADING;
    switch (name) {
      case 'EVALSHA':
      case 'EVAL':
        return this.runScript(link, name === 'EVAL', args);
      case 'PING':
        return new Status('PONG');
      case 'INFO':
        return 'maxmemory_policy:noeviction\r\n';
      case 'SUBSCRIBE':
        for (const channel of args) link.channels.add(channel);
        return [...args];
      case 'SCAN':
        return this.scan(args);
      case 'WAIT':
        return this.wait(link, Number(args[0]), Number(args[1]));
      default:
        throw new Error(`The model does not know the command ${name}.`);
    }
  }

  /** A command outside of scripts, for tests. */
  runPlain([name = '', ...args]: string[]): Reply {
    const reply = answerOf(commandOf(name), this.context(), args);
    this.written();
    return reply;
  }

  /** Changes made by hand, as an operator does. */
  written(): void {
    if (!this.data.dirty) return;
    this.offset += 1;
    const written = { offset: this.offset, changes: this.data.takeChanges() };
    for (const replication of this.replications) replication.send(written);
  }

  /** From now on this server has what that one has. */
  follow(primary: RedisServer, lag: number): Replication {
    this.isPrimary = false;
    this.data.clear();
    for (const change of primary.data.snapshot()) this.data.apply(change);
    this.data.takeChanges();
    const replication = new Replication(this.world, primary, this, lag);
    primary.replications.push(replication);
    return replication;
  }

  /** A replica has more than before. */
  acknowledged(): void {
    const open = this.waiters;
    this.waiters = [];
    for (const waiter of open) {
      const { offset, replicas, answer } = waiter;
      const count = this.count(offset);
      if (count >= replicas) answer(count);
      else this.waiters.push(waiter);
    }
  }

  private runScript(link: Link, isText: boolean, [script = '', count, ...words]: string[]): Reply {
    const keys = words.slice(0, Number(count));
    const argv = words.slice(Number(count));
    const refusal = this.options.slots?.refusalOf(this, keys, link.takeAsking());
    if (refusal !== undefined) return refusal;
    const source = isText ? script : this.scripts.get(script);
    if (source === undefined) return NO_SCRIPT;
    if (isText) this.scripts.set(shaOf(script), script);
    const reply = this.evaluate(source, keys, argv);
    if (this.data.dirty) {
      this.written();
      link.offset = this.offset;
    }
    this.options.onScript(this, keys, source, link.host.name);
    return reply;
  }

  private evaluate(source: string, keys: string[], argv: string[]): Reply {
    const context = this.context();
    let hasWritten = false;
    const { isFull, isPrimary } = this;
    const { lua, rewrite, branches } = this.options;
    const script = rewrite(source);
    return lua.run(
      branches === undefined ? script : branches.rewrite(script),
      keys,
      argv,
      ([name = '', ...args]) => {
        if (name === BRANCH && branches !== undefined) {
          branches.take(args[0] as string);
          return null;
        }
        const command = commandOf(name);
        if (command.writes === true) {
          if (!isPrimary) return READ_ONLY;
          // Once it has written, a script may go on.
          if (command.grows === true && isFull && !hasWritten) return FULL;
          hasWritten = true;
        }
        return answerOf(command, context, args);
      },
    );
  }

  /** The clock stands still while a script runs. */
  private context(): CommandContext {
    const publish = (channel: string, message: string): number => this.publish(channel, message);
    return { data: this.data, micros: this.micros(), publish };
  }

  private publish(channel: string, message: string): number {
    for (const server of this.neighbours) {
      this.world.after(
        this.world.network.random() * 5,
        () => void server.deliver(channel, message),
      );
    }
    return this.deliver(channel, message);
  }

  private deliver(channel: string, message: string): number {
    let receivers = 0;
    for (const link of this.links) {
      if (!link.channels.has(channel)) continue;
      receivers += 1;
      link.push(channel, message);
    }
    return receivers;
  }

  private scan([cursor, , pattern = '*']: string[]): Reply {
    if (cursor !== '0') return ['0', []];
    const prefix = pattern.replace(/\*.*$/s, '').replaceAll('\\', '');
    return ['0', this.data.keys().filter((key) => key.startsWith(prefix) && key.endsWith('}'))];
  }

  private count(offset: number): number {
    return this.replications.filter(({ acknowledged }) => acknowledged >= offset).length;
  }

  private wait({ offset }: Link, replicas: number, ms: number): Reply | Promise<Reply> {
    const count = this.count(offset);
    if (count >= replicas) return count;
    return new Promise((resolve) => {
      const answer = (acknowledged: number): void => resolve(acknowledged);
      this.waiters.push({ offset, replicas, answer });
      this.world.after(ms, () => {
        if (!this.waiters.some((waiter) => waiter.answer === answer)) return;
        this.waiters = this.waiters.filter((waiter) => waiter.answer !== answer);
        answer(this.count(offset));
      });
    });
  }
}
