import type { Context } from '../context.ts';
import type { Alarm } from '../util/time.ts';
import type { Contender } from './contender.ts';

/** Registrations are refreshed this often, in ms, so that two may be missed. */
export const REFRESH_EVERY = 500;
const REFRESH_TIMEOUT = 2_000;
/** After a reconnection, waiters ask again spread over this time, in ms. */
const RECONNECT_SPREAD = 200;

/** The keys in whose queues on the store this locker is registered, refreshed in one batch. */
export class Registrations {
  private readonly contenders = new Map<string, Contender>();
  private alarm: Alarm | undefined = undefined;

  constructor(private readonly context: Context) {}

  add(stored: string, contender: Contender): void {
    this.contenders.set(stored, contender);
    if (this.alarm === undefined) this.schedule();
  }

  remove(stored: string): void {
    if (!this.contenders.delete(stored) || this.contenders.size > 0) return;
    this.context.time.cancel(this.alarm);
    this.alarm = undefined;
  }

  /** Messages may have been missed. */
  reconnected(): void {
    const { time } = this.context;
    for (const [stored, contender] of this.contenders) {
      const ask = (): void => {
        if (this.contenders.get(stored) === contender) contender.ask();
      };
      time.after(time.random() * RECONNECT_SPREAD, ask, false);
    }
  }

  private schedule(): void {
    this.alarm = this.context.time.after(REFRESH_EVERY, () => this.refresh(), true);
  }

  private refresh(): void {
    const { store, client, calls, time, settings } = this.context;
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
