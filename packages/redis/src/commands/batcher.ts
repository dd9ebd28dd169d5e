import type { AcquireReply, AcquireRequest } from '@holdfast/core';
import type { ScriptCalls, Outcome } from './script-calls.ts';
import { ACQUISITIONS, type AcquireTerms, type Wanted } from '../scripts/acquire.ts';
import { RELEASES, type EndedGrant } from '../scripts/release.ts';

/** So many promises may be between tasks that were woken together and what they ask for. */
const HOPS = 24;

/** An acquisition that is sent. */
export interface SentAcquire extends Wanted {
  /** Whether messages arrived then. */
  heard: boolean;
}

/** A request that waits for others to be sent with. */
class Queued<R> {
  resolve!: (reply: R) => void;
  reject!: (error: unknown) => void;
  readonly answer: Promise<R>;

  constructor() {
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

class QueuedAcquire extends Queued<AcquireReply> implements SentAcquire {
  readonly key: string;
  heard = false;

  constructor(
    readonly request: AcquireRequest,
    readonly terms: AcquireTerms,
  ) {
    super();
    this.key = request.key;
  }
}

class QueuedRelease extends Queued<boolean> implements EndedGrant {
  readonly key: string;
  readonly id: string;
  readonly keepFor: number | undefined;
  readonly lastToken: number | undefined;

  constructor({ key, id, keepFor, lastToken }: EndedGrant) {
    super();
    this.key = key;
    this.id = id;
    this.keepFor = keepFor;
    this.lastToken = lastToken;
  }
}

/** Told of each acquisition that the server has answered. */
type OnAnswer = (sent: SentAcquire, reply: AcquireReply) => void;

/**
 * Puts what is asked for within one tick together, sixteen to a script call: several locks in one
 * message cost little more than one. A tick lasts for some turns of the promises that are ready to run,
 * so that tasks that were woken together also ask together. Whoever asks while nothing is under way is
 * not kept waiting.
 */
export class Batcher {
  private releases: QueuedRelease[] = [];
  private acquires: QueuedAcquire[] = [];
  /** Of the first so many of {@link acquires}: there may be many, and seldom a need to know. */
  private ids = new Set<string>();
  private idsKnown = 0;
  private scheduled = false;
  /** Requests without an answer. */
  private open = 0;

  private readonly acquired = (sent: SentAcquire, reply?: AcquireReply): void => {
    this.open -= 1;
    if (reply !== undefined) this.onAnswer(sent, reply);
  };

  private readonly released = (): void => {
    this.open -= 1;
  };

  private readonly acquiredTogether: Outcome<QueuedAcquire, AcquireReply> = {
    answered: (queued, reply) => {
      this.acquired(queued, reply);
      queued.resolve(reply);
    },
    failed: (queued, error) => {
      this.acquired(queued);
      queued.reject(error);
    },
  };

  private readonly releasedTogether: Outcome<QueuedRelease, boolean> = {
    answered: ({ resolve }, freed) => {
      this.released();
      resolve(freed);
    },
    failed: ({ reject }, error) => {
      this.released();
      reject(error);
    },
  };

  constructor(
    private readonly calls: ScriptCalls,
    private readonly messages: { readonly live: boolean },
    private readonly onAnswer: OnAnswer,
  ) {}

  acquire(request: AcquireRequest, terms: AcquireTerms): Promise<AcquireReply> {
    if (this.open === 0 && !this.scheduled) {
      this.open = 1;
      const { key } = request;
      const sent: SentAcquire = { key, request, terms, heard: this.messages.live };
      return this.calls.one(ACQUISITIONS, sent, this.acquired);
    }
    const queued = new QueuedAcquire(request, terms);
    this.acquires.push(queued);
    this.schedule();
    return queued.answer;
  }

  release(request: EndedGrant): Promise<boolean> {
    if (this.open === 0 && !this.scheduled) {
      this.open = 1;
      return this.calls.one(RELEASES, request, this.released);
    }
    // Releases go before acquisitions, but for one that takes an acquisition back.
    if (this.isUnsent(request.id)) this.flush();
    const queued = new QueuedRelease(request);
    this.releases.push(queued);
    this.schedule();
    return queued.answer;
  }

  private isUnsent(id: string): boolean {
    const { acquires, ids } = this;
    for (; this.idsKnown < acquires.length; this.idsKnown++) {
      ids.add((acquires[this.idsKnown] as QueuedAcquire).request.id);
    }
    return acquires.length > 0 && ids.has(id);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    void this.flushSoon();
  }

  /**
   * By promises alone: test runners put clocks of their own in the place of `process.nextTick()`, which
   * would never come.
   */
  private async flushSoon(): Promise<void> {
    for (let hop = 0; hop < HOPS; hop++) await Promise.resolve();
    this.scheduled = false;
    this.flush();
  }

  private flush(): void {
    const { releases, acquires } = this;
    this.open += releases.length + acquires.length;
    if (releases.length > 0) {
      this.releases = [];
      this.calls.many(RELEASES, releases, this.releasedTogether);
    }
    if (acquires.length > 0) {
      this.acquires = [];
      if (this.idsKnown > 0) this.ids = new Set();
      this.idsKnown = 0;
      for (const queued of acquires) queued.heard = this.messages.live;
      this.calls.many(ACQUISITIONS, acquires, this.acquiredTogether);
    }
  }
}
