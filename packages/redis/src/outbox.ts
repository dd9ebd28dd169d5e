import type { AcquireReply, AcquireRequest, ReleaseRequest } from '@holdfast/core';

/** A request and the promise that waits for its answer. */
export interface Asked<Q, R> {
  readonly request: Q;
  readonly resolve: (reply: R) => void;
  readonly reject: (error: unknown) => void;
}

export type AskedAcquire = Asked<AcquireRequest, AcquireReply>;
export type AskedRelease = Asked<ReleaseRequest, boolean>;

/**
 * Collects what is asked for within one tick, for one script call: several locks in one message cost
 * little more than one. A tick lasts until all that is ready to run has run, promises included, so
 * that tasks that are woken together also ask together.
 */
export class Outbox {
  private releases: AskedRelease[] = [];
  private acquires: AskedAcquire[] = [];
  /** Of {@link acquires}. */
  private readonly ids = new Set<string>();
  private scheduled = false;

  constructor(
    private readonly sendReleases: (asked: readonly AskedRelease[]) => void,
    private readonly sendAcquires: (asked: readonly AskedAcquire[]) => void,
  ) {}

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    this.schedule();
    this.ids.add(request.id);
    return new Promise((resolve, reject) => {
      this.acquires.push({ request, resolve, reject });
    });
  }

  release(request: ReleaseRequest): Promise<boolean> {
    // Releases go before acquisitions, but for one that takes an acquisition back.
    if (this.ids.has(request.id)) this.flush();
    this.schedule();
    return new Promise((resolve, reject) => {
      this.releases.push({ request, resolve, reject });
    });
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    process.nextTick(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const { releases, acquires } = this;
    if (releases.length > 0) {
      this.releases = [];
      this.sendReleases(releases);
    }
    if (acquires.length > 0) {
      this.acquires = [];
      this.ids.clear();
      this.sendAcquires(acquires);
    }
  }
}
