import type { AcquireReply, AcquireRequest, ReleaseRequest } from '@holdfast/core';
import type { Calls, Outcome } from './calls.ts';
import { ACQUISITIONS, RELEASES, type Wanted, type Who } from './requests.ts';

/** A request that waits for its answer. */
class Asked<R> {
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

class AskedAcquire extends Asked<AcquireReply> implements Wanted {
  constructor(
    readonly request: AcquireRequest,
    readonly who: Who,
  ) {
    super();
  }
}

class AskedRelease extends Asked<boolean> implements ReleaseRequest {
  readonly key: string;
  readonly id: string;
  readonly keepFor: number | undefined;

  constructor({ key, id, keepFor }: ReleaseRequest) {
    super();
    this.key = key;
    this.id = id;
    this.keepFor = keepFor;
  }
}

/** Told of each acquisition that the server has answered. */
type OnAnswer = (wanted: Wanted, reply: AcquireReply, heard: boolean) => void;

/**
 * Puts what is asked for within one tick together, sixteen to a script call: several locks in one
 * message cost little more than one. A tick lasts until all that is ready to run has run, promises included, so
 * that tasks that were woken together also ask together. Whoever asks alone is not kept waiting.
 */
export class Outbox {
  private releases: AskedRelease[] = [];
  private acquires: AskedAcquire[] = [];
  /** Of the first so many of {@link acquires}: there may be many, and seldom a need to know. */
  private ids = new Set<string>();
  private idsKnown = 0;
  private scheduled = false;
  /** Requests without an answer. */
  private open = 0;

  private readonly released: Outcome<AskedRelease, boolean> = {
    answered: ({ resolve }, freed) => {
      this.open -= 1;
      resolve(freed);
    },
    failed: ({ reject }, error) => {
      this.open -= 1;
      reject(error);
    },
  };

  constructor(
    private readonly calls: Calls,
    private readonly isHeard: () => boolean,
    private readonly onAnswer: OnAnswer,
  ) {}

  acquire(request: AcquireRequest, who: Who): Promise<AcquireReply> {
    const asked = new AskedAcquire(request, who);
    this.acquires.push(asked);
    this.send();
    return asked.answer;
  }

  release(request: ReleaseRequest): Promise<boolean> {
    // Releases go before acquisitions, but for one that takes an acquisition back.
    if (this.isUnsent(request.id)) this.flush();
    const asked = new AskedRelease(request);
    this.releases.push(asked);
    this.send();
    return asked.answer;
  }

  private isUnsent(id: string): boolean {
    const { acquires, ids } = this;
    for (; this.idsKnown < acquires.length; this.idsKnown++) {
      ids.add((acquires[this.idsKnown] as AskedAcquire).request.id);
    }
    return acquires.length > 0 && ids.has(id);
  }

  private send(): void {
    if (this.scheduled) return;
    if (this.open === 0) {
      this.flush();
      return;
    }
    this.scheduled = true;
    process.nextTick(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const { releases, acquires } = this;
    this.open += releases.length + acquires.length;
    if (releases.length > 0) {
      this.releases = [];
      this.calls.many(RELEASES, releases, this.released);
    }
    if (acquires.length > 0) {
      this.acquires = [];
      if (this.idsKnown > 0) this.ids = new Set();
      this.idsKnown = 0;
      this.calls.many(ACQUISITIONS, acquires, this.acquired(this.isHeard()));
    }
  }

  private acquired(heard: boolean): Outcome<AskedAcquire, AcquireReply> {
    return {
      answered: (asked, reply) => {
        this.open -= 1;
        this.onAnswer(asked, reply, heard);
        asked.resolve(reply);
      },
      failed: ({ reject }, error) => {
        this.open -= 1;
        reject(error);
      },
    };
  }
}
