import type { StoreLoss } from '@holdfast/core';
import type { ScriptCalls } from '../commands/script-calls.ts';
import { LOSSES, type KnownGrant } from '../scripts/loss.ts';

/** Between two checks, in ms. */
const EVERY = 10;
/** The most grants of one check. Above it a loss is found at the next renewal. */
const MOST = 200;

/**
 * Asks the server whether grants are gone of which a message says so. Anybody who knows a channel can
 * send such messages: so they are believed only when the server agrees, and cost few requests.
 */
export class LossChecks {
  private readonly due = new Map<string, KnownGrant>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly calls: ScriptCalls,
    private readonly lost: (grant: KnownGrant, reason: StoreLoss) => void,
  ) {}

  /** A message says that a grant is gone. */
  hint(grant: KnownGrant): void {
    if (this.due.size < MOST) this.due.set(`${grant.id} ${grant.key}`, grant);
    if (this.timer === undefined) this.check();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.due.clear();
  }

  private check(): void {
    const grants = [...this.due.values()];
    this.due.clear();
    this.timer = undefined;
    if (grants.length === 0) return;
    this.timer = setTimeout(() => this.check(), EVERY);
    this.timer.unref();
    this.ask(grants);
  }

  /** Of grants of our own, a message about which may have been missed. */
  ask(grants: readonly KnownGrant[]): void {
    this.calls.many(LOSSES, grants, {
      answered: (grant, reason) => {
        // All else is for a renewal to find out.
        if (reason === 'superseded' || reason === 'forced') this.lost(grant, reason);
      },
      failed: () => {},
    });
  }
}
