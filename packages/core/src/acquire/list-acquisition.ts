import type { LockLostError, LockStoreError } from '../errors.ts';
import { isFresh, type Grant, type Lease } from '../hold/lease.ts';
import { MultiLock, Part, type PartHolder } from '../hold/multi-lock.ts';
import type { LockSettings } from '../options.ts';
import type { Lock } from '../types.ts';
import { CAME_LATE } from '../util/store-calls.ts';
import type { Alarm } from '../util/time.ts';
import { Acquisition, type Call } from './acquisition.ts';
import { Waiter, type NamedKey } from './waiter.ts';

/** ms before an acquisition of several keys that lost one starts again; more each time. */
const FIRST_REST = 50;
const LONGEST_REST = 1_000;

/**
 * A call for a lock with several keys: takes one after the other, in the one order in which everybody
 * takes them. If it loses one meanwhile it gives all back and starts again.
 */
export class ListAcquisition extends Acquisition implements PartHolder {
  owner: string;
  protected waiter: Waiter | undefined = undefined;
  private parts: Part[] = [];
  /** Before it starts again. */
  private rest: Alarm | undefined = undefined;
  private restarts = 0;
  private taking = false;

  constructor(
    settings: LockSettings,
    readonly keys: readonly string[],
    private readonly ordered: readonly NamedKey[],
    call: Call,
  ) {
    super(settings, call, settings.context.time.now());
    this.owner = this.newOwner();
  }

  get key(): string {
    return this.keys[0] as string;
  }

  start(): Promise<Lock | null> {
    this.takeNext();
    this.limit();
    return this.answer();
  }

  granted({ key, stored, settings }: Waiter, grant: Grant, now: number): Lease {
    const part = new Part(settings, key, stored, grant, now, this);
    this.waiter = undefined;
    this.parts.push(part);
    this.takeNext();
    return part;
  }

  /** One of the keys is lost before all are taken: all are given back, and it starts again. */
  partLost(_error: LockLostError, part: Part): void {
    // Not if it is being given back already.
    if (this.parts.includes(part)) this.startAgain();
  }

  protected giveBack(): void {
    const { parts, waiter } = this;
    this.parts = [];
    this.waiter = undefined;
    waiter?.withdraw();
    // Last first.
    for (const part of parts.toReversed()) void part.finish();
    // Those who took over what was passed on are not to be taken for us.
    this.owner = this.newOwner();
  }

  protected override settle(): void {
    super.settle();
    this.context.time.cancel(this.rest);
  }

  private newOwner(): string {
    return this.settings.storeOwner ?? this.context.ids.next();
  }

  private startAgain(): void {
    const { time } = this.context;
    this.giveBack();
    if (this.settings.wait === 0) {
      this.busy();
      return;
    }
    // Two that take keys from each other, as tasks with one owner do, must not do so without a rest.
    const delay = time.random() * Math.min(this.restarts * FIRST_REST, LONGEST_REST);
    this.restarts += 1;
    this.rest = time.after(
      delay,
      () => {
        this.rest = undefined;
        this.takeNext();
      },
      true,
    );
  }

  /** Takes key after key, for as long as they come at once. */
  private takeNext(): void {
    if (this.taking) return;
    this.taking = true;
    while (!this.settled && this.waiter === undefined && this.rest === undefined) {
      const next = this.ordered[this.parts.length];
      if (next === undefined) {
        this.complete();
        break;
      }
      this.waiter = new Waiter(this, next);
      this.context.queues.request(this.waiter);
    }
    this.taking = false;
  }

  /** All keys are taken. Those that were taken long ago are renewed first. */
  private complete(): void {
    const { settings, context, keys, parts } = this;
    const { time, calls, renewer } = context;
    const old = (): Part[] => {
      const now = time.checkedNow();
      return parts.filter((part) => !isFresh(part.anchor, settings.timing, now));
    };
    const finish = (error?: LockStoreError): void => {
      if (this.parts !== parts) return;
      const now = time.now();
      if (old().length === 0) {
        this.succeed(new MultiLock(settings, keys, parts, settings.owner ?? this.owner, now), now);
      } else if (settings.wait > 0) {
        this.startAgain();
      } else {
        // Nobody else has it: for a single attempt too, that is not contention.
        const late = new Error(CAME_LATE, { cause: error });
        this.failed(calls.errorFrom('acquire', this.key, late));
      }
    };
    const stale = old();
    if (stale.length === 0) finish();
    else renewer.renewNow(stale, settings.timing).then(() => finish(), finish);
  }
}
