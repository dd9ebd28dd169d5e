import type { World } from '../world.ts';
import type { Host } from './host.ts';
import type { Reply } from './lua.ts';
import type { StackServer } from './stack-server.ts';

/** What may happen to a request and to the connection that it is sent on. */
export type LinkFault =
  /** The connection is cut; the request never arrives. */
  | { readonly kind: 'cut-before' }
  /** The request is carried out; the connection is cut before its answer comes. */
  | { readonly kind: 'cut-after' }
  /** The connection is cut at once, and the request is carried out later all the same. */
  | { readonly kind: 'cut-late'; readonly ms: number }
  /** The request and all behind it come late. */
  | { readonly kind: 'late-request'; readonly ms: number }
  /** The answer and all behind it come late. */
  | { readonly kind: 'late-reply'; readonly ms: number };

/** Told by a connection, as events of the client's process. */
export interface LinkListener {
  /** The answers come in the order of the requests. */
  readonly reply: (reply: Reply) => void;
  readonly message: (channel: string, message: string) => void;
  readonly closed: () => void;
}

/** What is sent behind another arrives behind it, however sums of times are rounded; in ms. */
export const BEHIND = 0.001;

/** When the first packet of a connection is sent again that nobody answers, in ms; then it is given up. */
const KNOCKS = [0, 1_000, 3_000, 7_000];
const CONNECT_TIMEOUT = 10_000;

/** The wires between processes and servers. */
export class Network {
  /** By process and server: until when nothing gets through, in both directions. */
  private readonly silences = new Map<string, number>();

  constructor(
    readonly world: World,
    /** The longest trip, in ms. */
    private readonly latency: number,
    /** What goes wrong with a request. */
    readonly faultOf: (link: Link) => LinkFault | undefined,
    /** Whether a connection breaks on which a message comes. */
    readonly breaksMessages: () => boolean,
  ) {}

  tripTime(): number {
    return this.world.network.random() * this.latency;
  }

  /** When what is sent now arrives. */
  arrival(link: Link): number {
    return Math.max(this.world.now, this.silenceOf(link)) + this.tripTime();
  }

  /** Nothing gets through between a process and a server for a while; then all does. */
  silence(host: Host, server: StackServer, ms: number): void {
    this.silences.set(nameOf(host, server), this.world.now + ms);
  }

  /** @param done told the connection, or nothing where there is none */
  connect(
    host: Host,
    server: StackServer | undefined,
    done: (link: Link | undefined) => void,
  ): void {
    const { world } = this;
    const silence = server === undefined ? 0 : this.silenceOf({ host, server }) - world.now;
    const knock = KNOCKS.find((ms) => ms >= silence);
    world.after(knock === undefined ? CONNECT_TIMEOUT : knock + 2 * this.tripTime(), () => {
      const reached = knock !== undefined && server?.isUp === true;
      // The connection is there before the process hears of it.
      const link = reached ? new Link(this, host, server) : undefined;
      host.enter(() => done(link));
    });
  }

  private silenceOf({ host, server }: { host: Host; server: StackServer }): number {
    // Most of the time there is none, and no need of a name.
    return this.silences.size === 0 ? 0 : (this.silences.get(nameOf(host, server)) ?? 0);
  }
}

const nameOf = (host: Host, server: StackServer): string => `${host.name} ${server.address}`;

/** One TCP connection: in each direction all arrives in the order in which it was sent. */
export class Link {
  readonly channels = new Set<string>();
  /** Up to where the server had written what was asked for here last. */
  offset = 0;
  private listener: LinkListener | undefined;
  private toServerAt = 0;
  private toClientAt = 0;
  /** What the client has to come is late by so many ms. */
  private lateReply = 0;
  private isAsking = false;
  private isCut = false;
  /** Nothing comes to the client any more, who does not know it. */
  private isBroken = false;
  /** Requests that have arrived and wait for the one before them. */
  private readonly queue: (() => void)[] = [];
  private isBusy = false;
  private readonly starts: number;

  constructor(
    private readonly network: Network,
    readonly host: Host,
    readonly server: StackServer,
  ) {
    this.starts = server.starts;
    server.links.add(this);
  }

  listen(listener: LinkListener): void {
    if (this.isCut) this.tellClosed(listener);
    else this.listener = listener;
  }

  send(words: string[]): void {
    const { network } = this;
    const { world } = network;
    const fault = network.faultOf(this);
    if (fault?.kind === 'cut-before') {
      this.cut();
      return;
    }
    this.toServerAt = Math.max(this.toServerAt + BEHIND, network.arrival(this));
    if (fault?.kind === 'late-request') this.toServerAt += fault.ms;
    if (fault?.kind === 'cut-late') {
      this.toServerAt += fault.ms;
      this.cut();
    }
    world.after(this.toServerAt - world.now, () => {
      if (!this.isReached) return;
      this.queue.push(() => this.carryOut(words, fault));
      if (!this.isBusy) this.next();
    });
  }

  /** A message of a channel. */
  push(channel: string, message: string): void {
    this.isBroken ||= this.network.breaksMessages();
    this.deliver(() => this.listener?.message(channel, message));
  }

  /** The next request is for a key that is being moved here. */
  asks(): void {
    this.isAsking = true;
  }

  takeAsking(): boolean {
    const { isAsking } = this;
    this.isAsking = false;
    return isAsking;
  }

  /** The connection is lost: what is on its way to the server may still arrive, nothing that comes from there does. */
  cut(): void {
    const { listener } = this;
    this.isCut = true;
    this.end();
    if (listener !== undefined) this.tellClosed(listener);
  }

  /** The client ends it. */
  end(): void {
    this.listener = undefined;
    this.server.links.delete(this);
  }

  /** Whether the server is still the process that it was connected to. */
  private get isReached(): boolean {
    return this.server.isUp && this.server.starts === this.starts;
  }

  private tellClosed(listener: LinkListener): void {
    this.network.world.after(0, () => this.host.enter(() => listener.closed()));
  }

  private next(): void {
    const { world } = this.network;
    const { server } = this;
    if (this.queue.length === 0) return;
    this.isBusy = true;
    const turn = (): void => {
      if (!this.isReached) return;
      if (server.isFrozen) world.after(server.frozenUntil - world.now, turn);
      else this.queue.shift()?.();
    };
    turn();
  }

  private carryOut(words: string[], fault: LinkFault | undefined): void {
    const done = (reply: Reply): void => {
      this.isBusy = false;
      if (fault?.kind === 'cut-after') this.cut();
      if (fault?.kind === 'late-reply') this.lateReply = fault.ms;
      this.deliver(() => this.listener?.reply(reply));
      this.next();
    };
    const reply = this.server.run(this, words);
    if (reply instanceof Promise) void reply.then(done);
    else done(reply);
  }

  private deliver(tell: () => void): void {
    if (this.isBroken) return;
    const { network, host } = this;
    const { world } = network;
    this.toClientAt = Math.max(this.toClientAt + BEHIND, network.arrival(this) + this.lateReply);
    this.lateReply = 0;
    world.after(this.toClientAt - world.now, () => host.enter(tell));
  }
}
