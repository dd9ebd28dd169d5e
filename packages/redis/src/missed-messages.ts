import type { StoreEvent } from '@holdfast/core';
import type { Calls } from './calls.ts';
import { RecentGrants } from './recent-grants.ts';
import { LOSSES, RESERVATIONS, type KnownGrant, type Registration } from './requests.ts';

/** A connection that takes longer than this, in ms, is too late for exact accounts. */
const PATIENCE = 2_000;

/**
 * What may have been sent to us before messages arrive. It is looked up on the server as soon as they
 * do, so that nobody who waits or holds is told later than others.
 */
export class MissedMessages {
  readonly grants = new RecentGrants();
  private readonly waits = new Map<string, Registration>();
  /** Wake-ups that are being looked up, or were and told: the message may come all the same. */
  private readonly lookedUp = new Map<string, 'asked' | 'told'>();
  /** Until messages arrive for the first time, or are long in coming. */
  private recording = true;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly calls: Calls,
    private readonly deliver: (event: StoreEvent, member: string) => void,
  ) {}

  wait(registration: Registration, live: boolean): void {
    if (live) this.lookUpWaits([registration]);
    else if (this.recording) this.waits.set(nameOf(registration), registration);
  }

  grant(grant: KnownGrant, live: boolean): void {
    if (live) this.lookUpGrants([grant]);
    else if (this.recording) this.grants.add(grant);
  }

  released(key: string, id: string): void {
    if (this.grants.size > 0) this.grants.forget(key, id);
  }

  /** A client asks: what it was told before is used up. */
  asks(member: string, key: string): void {
    if (this.lookedUp.size > 0) this.lookedUp.delete(nameOf({ member, key }));
  }

  /** Whether a message tells of a wake-up that was looked up already. */
  isRepeated(member: string, key: string): boolean {
    if (this.lookedUp.size === 0) return false;
    const name = nameOf({ member, key });
    const told = this.lookedUp.get(name) === 'told';
    this.lookedUp.delete(name);
    return told;
  }

  opening(): void {
    if (!this.recording) return;
    this.timer = setTimeout(() => this.stopRecording(), PATIENCE);
    this.timer.unref();
  }

  /**
   * Messages arrive now.
   *
   * @returns whether all that was missed is known, and is being looked up
   */
  recover(): boolean {
    const { recording } = this;
    const waits = [...this.waits.values()];
    const grants = this.grants.all();
    this.stopRecording();
    this.lookUpWaits(waits);
    this.lookUpGrants(grants);
    return recording;
  }

  reset(): void {
    this.stopRecording();
    this.lookedUp.clear();
    this.recording = true;
  }

  lookUpWaits(waits: readonly Registration[]): void {
    const { lookedUp } = this;
    for (const wait of waits) lookedUp.set(nameOf(wait), 'asked');
    const settle = (registration: Registration, reserved: boolean): void => {
      const name = nameOf(registration);
      // Otherwise it has come by message, or the client has asked.
      if (lookedUp.get(name) !== 'asked') return;
      lookedUp.delete(name);
      if (!reserved) return;
      lookedUp.set(name, 'told');
      this.deliver({ type: 'wake', key: registration.key }, registration.member);
    };
    this.calls.many(RESERVATIONS, waits, {
      answered: settle,
      failed: (registration) => settle(registration, false),
    });
  }

  private lookUpGrants(grants: readonly KnownGrant[]): void {
    this.calls.many(LOSSES, grants, {
      answered: ({ member, key, id }, reason) => {
        if (reason !== 'superseded' && reason !== 'forced') return;
        this.deliver({ type: 'lost', key, id, reason }, member);
      },
      failed: () => {},
    });
  }

  private stopRecording(): void {
    clearTimeout(this.timer);
    this.recording = false;
    this.waits.clear();
    this.grants.clear();
  }
}

const nameOf = ({ member, key }: Registration): string => `${member} ${key}`;
