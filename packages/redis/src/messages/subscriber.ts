import { randomBytes } from 'node:crypto';
import type { StoreEvent } from '@holdfast/core';
import type { ScriptCalls } from '../commands/script-calls.ts';
import type { ClientPort } from '../connection/port.ts';
import { toWord } from '../redis-keys.ts';
import type { KnownGrant } from '../scripts/loss.ts';
import { RESERVATIONS, type QueuePlace } from '../scripts/reserved.ts';
import { channelOf, namespaceOf, readMessage } from './channels.ts';
import { LiveConnection } from './live-connection.ts';
import { LossChecks } from './loss-checks.ts';
import { Waits } from './waits.ts';

/** Hears what the store has to say to a locker. */
export type Listener = (event: StoreEvent) => void;

/** A lock that is held for two of these, in ms, is worth a connection that tells of its loss. */
const HELD_LONG = 120;

/**
 * The messages to the lockers of one store: one connection of our own, opened on the first wait, or
 * for the first lock that is held for a while. A message is a hint: what it says is found out without
 * it, only later, and it is checked before anything is lost by it.
 */
export class Subscriber {
  /** Unguessable: who knows it can send messages to this store. */
  private readonly id = randomBytes(12).toString('base64url');
  private readonly listeners = new Map<string, Listener>();
  /** The connection for messages, which tells whether they arrive. */
  readonly connection: LiveConnection;
  private readonly waits = new Waits();
  private readonly losses: LossChecks;
  private holdTimer: NodeJS.Timeout | undefined;
  /** By id, in the order of their making: what is held of which no message could tell a loss so far. */
  private readonly unheard = new Map<string, KnownGrant>();
  /** Messages are long in coming: what would be remembered for that long is left to renewals. */
  private givenUp = false;
  /** Whether locks may be held that are not in {@link unheard}, and of which a message may be missed. */
  private forgotten = false;
  private away = false;
  private unwatchClient = (): void => {};
  /** The start of the last lock's key, with what ends the namespace. */
  private namespace = '';
  private lastClient: string | undefined;
  private lastMember = '';

  constructor(
    private readonly port: ClientPort,
    private readonly calls: ScriptCalls,
  ) {
    this.losses = new LossChecks(calls, ({ member, key, id }, reason) =>
      this.deliver(member, { type: 'lost', key, id, reason }),
    );
    this.connection = new LiveConnection(port, {
      live: (isNew) => this.nowLive(isNew),
      message: (text) => this.heard(text),
      dead: (reason) => this.warn(reason),
    });
  }

  /** Whether no locker uses the store. */
  get isIdle(): boolean {
    return this.listeners.size === 0;
  }

  /** What the server calls a locker. */
  memberOf(client: string): string {
    if (this.lastClient !== client) {
      this.lastClient = client;
      this.lastMember = `${this.id}/${toWord(client)}`;
    }
    return this.lastMember;
  }

  listen(client: string, listener: Listener): () => void {
    const member = this.memberOf(client);
    if (this.listeners.size === 0) this.watchClient();
    this.listeners.set(member, listener);
    return () => {
      if (this.listeners.get(member) !== listener) return;
      this.listeners.delete(member);
      if (this.listeners.size === 0) this.close();
    };
  }

  /**
   * A client was registered in a queue by a request that was sent when messages did (`heard`) or did
   * not arrive.
   */
  registered(member: string, key: string, heard: boolean): void {
    if (this.isIdle) return;
    const registration = { member, key };
    const unheard = this.listenFor(key) || !heard;
    this.connection.open();
    this.waits.registered(registration, unheard && !this.connection.live);
    if (unheard && this.connection.live) this.lookUp([registration]);
  }

  /** As {@link registered}, for a grant. */
  granted(member: string, key: string, id: string, heard: boolean): void {
    // Each lock comes by here, and most often nobody waits.
    if (this.listeners.size === 0) return;
    if (this.waits.all.size > 0) this.waits.ended(member, key);
    if (!this.listenFor(key) && heard) return;
    if (this.connection.live) {
      this.losses.ask([{ member, key, id }]);
    } else if (!this.givenUp) {
      this.unheard.set(id, { member, key, id });
      if (this.holdTimer === undefined) this.watchHolds();
    }
  }

  released(id: string): void {
    if (this.unheard.size > 0) this.unheard.delete(id);
  }

  left(member: string, key: string): void {
    this.waits.ended(member, key);
  }

  /** Tells all lockers. */
  tell(event: StoreEvent): void {
    for (const listener of this.listeners.values()) listener(event);
  }

  /** Whoever has sent it: nothing in here throws. */
  private heard(text: string): void {
    const message = readMessage(text);
    if (message === undefined || !this.listeners.has(message.member)) return;
    if (message.type === 'lost') this.losses.hint(message);
    else this.wake(message);
  }

  private wake(registration: QueuePlace): void {
    const { member, key } = registration;
    if (this.waits.woken(registration)) this.deliver(member, { type: 'wake', key });
  }

  private deliver(member: string, event: StoreEvent): void {
    this.listeners.get(member)?.(event);
  }

  private nowLive(isNew: boolean): void {
    this.lookUp(this.waits.takeUnheard());
    const held = [...this.unheard.values()];
    this.unheard.clear();
    if (held.length > 0) this.losses.ask(held);
    if (isNew && this.forgotten) this.tell({ type: 'reconnected' });
    this.forgotten = true;
    this.givenUp = false;
  }

  /** Who registered before messages arrived may have been woken before, too. */
  private lookUp(registrations: readonly QueuePlace[]): void {
    this.calls.many(RESERVATIONS, registrations, {
      answered: (registration, reserved) => {
        if (reserved) this.wake(registration);
      },
      failed: () => {},
    });
  }

  private warn(reason: string): void {
    this.givenUp = true;
    this.forgotten = true;
    this.unheard.clear();
    const message =
      'Cannot receive wake-up messages from Redis, so waiters are woken by timers instead, later: ' +
      reason;
    this.tell({ type: 'warning', code: 'HOLDFAST_REDIS_NO_MESSAGES', message });
  }

  /** @returns whether its channel is a new one */
  private listenFor(key: string): boolean {
    // Most often there is one namespace.
    if (this.namespace !== '' && key.startsWith(this.namespace)) return false;
    const namespace = namespaceOf(key);
    this.namespace = key.slice(0, namespace.length + 1);
    return this.connection.add(channelOf(this.port.keyPrefix, namespace, this.id));
  }

  /** Opens the connection as soon as a lock has been held for a while. */
  private watchHolds(before?: string): void {
    this.holdTimer = setTimeout(() => {
      this.holdTimer = undefined;
      const [oldest] = this.unheard.keys();
      if (oldest === undefined) return;
      if (oldest === before) this.connection.open();
      else this.watchHolds(oldest);
    }, HELD_LONG);
    this.holdTimer.unref();
  }

  private close(): void {
    clearTimeout(this.holdTimer);
    this.holdTimer = undefined;
    this.connection.close();
    this.connection.clear();
    this.namespace = '';
    this.losses.stop();
    this.waits.clear();
    this.unheard.clear();
    this.givenUp = false;
    this.forgotten = false;
    this.unwatchClient();
  }

  private watchClient(): void {
    this.unwatchClient = this.port.watch({
      away: () => (this.away = true),
      // It was away, and with it perhaps the server's memory, or another server has taken its place.
      ready: () => {
        if (!this.away) return;
        this.away = false;
        this.connection.renew();
        this.tell({ type: 'reconnected' });
      },
      // The user has closed it: without it our own connection would keep the process alive.
      closed: () => this.connection.close(),
    });
  }
}
