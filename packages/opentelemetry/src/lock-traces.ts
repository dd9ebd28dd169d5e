import type { HeldLockEvent, LockKeyEvent } from '@holdfast/core';
import {
  context,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Link,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import type { Listeners } from './channels.ts';
import { identityOf } from './identity.ts';

/** A span for an acquisition that had to wait, and one for each hold, below the span of their caller. */
export class LockTraces {
  /** By identity, which several may have: the oldest first. */
  private readonly holds = new Map<string, Span[]>();
  /** Of the hold that has just ended, and of those that a hand-off begins. */
  private ended: Span | undefined;
  private readonly links = new Map<string, Link>();

  constructor(
    private readonly tracer: Tracer,
    private readonly classOf: (key: string) => string | undefined,
    private readonly requireParent: boolean,
  ) {}

  // Locker events come in the async context of the call that they are about.
  readonly listeners: Listeners = {
    acquired: (event) => {
      const identity = identityOf(event);
      const link = this.links.get(identity);
      this.links.delete(identity);
      const parent = this.parent();
      if (parent === undefined) return;
      if (event.waiter !== undefined) this.waited(parent, event, { outcome: 'acquired' });
      const { owner, fencingToken } = event;
      const attributes = {
        ...this.about(event),
        'holdfast.owner': owner,
        'holdfast.fencing_token': fencingToken,
      };
      const links = link === undefined ? [] : [link];
      const span = this.tracer.startSpan('holdfast hold', { attributes, links }, parent);
      const same = this.holds.get(identity);
      if (same === undefined) this.holds.set(identity, [span]);
      else same.push(span);
    },
    'not-acquired': (event) => {
      const parent = this.parent();
      if (parent === undefined || event.waiter === undefined) return;
      this.waited(parent, event, { outcome: 'not_acquired', 'error.type': event.reason });
    },
    renewed: (event) => {
      const { headroom } = event;
      const span = this.holds.get(identityOf(event))?.at(-1);
      span?.addEvent('renewed', { 'holdfast.headroom_ms': headroom });
    },
    released: (event) => {
      this.ended = this.takeOut(event, 'pop');
      this.ended?.setAttributes({ outcome: 'released' }).end();
    },
    lost: (event) => {
      const { reason } = event;
      // Of several with one identity, the oldest is the one that was taken over.
      const span = this.takeOut(event, 'shift');
      span?.addEvent('lost', { reason });
      span?.setStatus({ code: SpanStatusCode.ERROR, message: `The lock was lost: ${reason}.` });
      span?.setAttributes({ outcome: 'lost', 'error.type': reason }).end();
    },
    // It comes between the `released` of one and the `acquired` of the next.
    handoff: (event) => {
      if (this.ended === undefined) return;
      const attributes = { 'holdfast.link': 'handed over by' };
      this.links.set(identityOf(event), { context: this.ended.spanContext(), attributes });
      this.ended = undefined;
    },
  };

  private parent(): Context | undefined {
    const active = context.active();
    return this.requireParent && trace.getSpan(active) === undefined ? undefined : active;
  }

  /** Made when it is over: only then is it known that it was one, and for how long. */
  private waited(
    parent: Context,
    event: LockKeyEvent & { readonly waited: number },
    more: Attributes,
  ): void {
    const startTime = Date.now() - event.waited;
    const attributes: Attributes = { ...this.about(event), ...more };
    const span = this.tracer.startSpan('holdfast wait', { attributes, startTime }, parent);
    if (attributes['error.type'] !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }

  private takeOut(event: HeldLockEvent, end: 'shift' | 'pop'): Span | undefined {
    const identity = identityOf(event);
    const same = this.holds.get(identity);
    const span = same?.[end]();
    if (same?.length === 0) this.holds.delete(identity);
    return span;
  }

  private about({ locker, store, label, key }: LockKeyEvent): Attributes {
    const about = { locker, store, label };
    const name = this.classOf(key);
    return name === undefined ? about : { ...about, key: name };
  }
}
