import type { LockStoreError } from '../errors.ts';
import type { LockerSettings } from '../options.ts';
import type { LockStore } from '../store.ts';
import type { StoreCalls } from '../util/store-calls.ts';
import type { Alarm, Time } from '../util/time.ts';

/** Registrations are refreshed this often, in ms, so that two may be missed. */
export const REFRESH_EVERY = 500;
const REFRESH_TIMEOUT = 2_000;
/** After a reconnection, waiters ask again spread over this time, in ms. */
const RECONNECT_SPREAD = 200;

/** Who is registered: the contender of a key. */
interface Registered {
  ask(): void;
  hint(ms: number): void;
  unheard(error: LockStoreError, sentAt: number): void;
}

/** What the list needs of its engine. */
interface RegistrationsHost {
  readonly time: Time;
  readonly calls: StoreCalls;
  readonly store: LockStore;
  readonly settings: LockerSettings;
  readonly client: string;
}

/** The keys in whose queues on the store this locker is registered, refreshed in one batch. */
export class Registrations {
  private readonly contenders = new Map<string, Registered>();
  private alarm: Alarm | undefined = undefined;

  constructor(private readonly engine: RegistrationsHost) {}

  add(stored: string, contender: Registered): void {
    this.contenders.set(stored, contender);
    if (this.alarm === undefined) this.schedule();
  }

  remove(stored: string): void {
    if (!this.contenders.delete(stored) || this.contenders.size > 0) return;
    this.engine.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  /** Messages may have been missed. */
  reconnected(): void {
    const { time } = this.engine;
    for (const [stored, contender] of this.contenders) {
      const ask = (): void => {
        if (this.contenders.get(stored) === contender) contender.ask();
      };
      time.after(time.random() * RECONNECT_SPREAD, ask, false);
    }
  }

  private schedule(): void {
    this.alarm = this.engine.time.after(REFRESH_EVERY, () => this.refresh(), true);
  }

  private refresh(): void {
    const { store, client, calls, time, settings } = this.engine;
    const asked = [...this.contenders];
    const sentAt = time.now();
    this.schedule();
    calls.send<readonly (number | Error)[]>({
      phase: 'acquire',
      timeout: settings.storeTimeout ?? REFRESH_TIMEOUT,
      send: () =>
        store.refresh?.(
          client,
          asked.map(([stored]) => stored),
        ) ?? [],
      answered: (hints) => {
        for (const [index, [stored, contender]] of asked.entries()) {
          const hint = hints[index];
          if (hint === undefined || this.contenders.get(stored) !== contender) continue;
          if (hint instanceof Error) {
            contender.unheard(calls.errorFrom('acquire', undefined, hint), sentAt);
          } else {
            contender.hint(hint);
          }
        }
      },
      failed: (error) => {
        for (const [, contender] of asked) contender.unheard(error, sentAt);
      },
    });
  }
}
