import type { StoreEvent } from '@holdfast/core';
import type { ScriptCalls, ManyCall } from '../commands/script-calls.ts';
import { RecentGrants } from './recent-grants.ts';
import { LOSSES, RESERVATIONS, type KnownGrant, type Registration } from '../scripts/codec.ts';

/** A connection that takes longer than this, in ms, is too late for exact accounts. */
const PATIENCE = 2_000;

/**
 * What may have been sent to us before messages arrive. It is looked up on the server as soon as they
 * do, so that nobody who waits or holds is told later than others.
 */
export class CatchUp {
  readonly grants = new RecentGrants();
  private readonly waits = new Map<string, Registration>();
  /** What is being looked up, or was and told: the message may come all the same. */
  private readonly lookedUp = new Map<string, 'asked' | 'told'>();
  /** Until messages arrive for the first time, or are long in coming. */
  private recording = true;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly calls: ScriptCalls,
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
    if (this.lookedUp.size > 0) this.lookedUp.delete(id);
  }

  /** A client asks: what it was told before is used up. */
  asks(member: string, key: string): void {
    if (this.lookedUp.size > 0) this.lookedUp.delete(nameOf({ member, key }));
  }

  /**
   * A message tells of a wake-up: before we know that messages arrive, perhaps.
   *
   * @returns whether it was looked up already, and told
   */
  isRepeatedWake(registration: Registration): boolean {
    const name = nameOf(registration);
    if (this.waits.size > 0) this.waits.delete(name);
    return this.isRepeated(name);
  }

  /** As {@link isRepeatedWake}, for a loss. */
  isRepeatedLoss(key: string, id: string): boolean {
    if (this.grants.size > 0) this.grants.forget(key, id);
    return this.isRepeated(id);
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
    this.lookUp(RESERVATIONS, waits, nameOf, ({ key, member }, reserved) => {
      if (!reserved) return false;
      this.deliver({ type: 'wake', key }, member);
      return true;
    });
  }

  private lookUpGrants(grants: readonly KnownGrant[]): void {
    const idOf = ({ id }: KnownGrant): string => id;
    this.lookUp(LOSSES, grants, idOf, ({ key, id, member }, reason) => {
      if (reason !== 'superseded' && reason !== 'forced') return false;
      this.deliver({ type: 'lost', key, id, reason }, member);
      return true;
    });
  }

  /** @param tell tells what the server answered, if there is something to tell */
  private lookUp<Q, R>(
    call: ManyCall<Q, R>,
    all: readonly Q[],
    nameIt: (one: Q) => string,
    tell: (one: Q, reply: R) => boolean,
  ): void {
    const { lookedUp } = this;
    for (const one of all) lookedUp.set(nameIt(one), 'asked');
    /** Otherwise it has come by message meanwhile, or is no longer of interest. */
    const isOpen = (name: string): boolean =>
      lookedUp.get(name) === 'asked' && lookedUp.delete(name);
    this.calls.many(call, all, {
      answered: (one, reply) => {
        const name = nameIt(one);
        if (isOpen(name) && tell(one, reply)) lookedUp.set(name, 'told');
      },
      failed: (one) => void isOpen(nameIt(one)),
    });
  }

  private isRepeated(name: string): boolean {
    const told = this.lookedUp.get(name) === 'told';
    this.lookedUp.delete(name);
    return told;
  }

  private stopRecording(): void {
    clearTimeout(this.timer);
    this.recording = false;
    this.waits.clear();
    this.grants.clear();
  }
}

const nameOf = ({ member, key }: Registration): string => `${member} ${key}`;
