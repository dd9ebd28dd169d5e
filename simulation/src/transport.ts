import type {
  AcquireReply,
  AcquireRequest,
  EncodeKeyRequest,
  InspectRequest,
  LockStore,
  ReleaseRequest,
  RenewReply,
  RenewRequest,
  StoredGrant,
  StoreEvent,
} from '@holdfast/core';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/**
 * A process's connection to the server: requests and replies take a while, and arrive in the order in
 * which they were sent. Messages may be lost.
 */
export class Transport implements LockStore {
  readonly refresh: NonNullable<LockStore['refresh']>;
  readonly leave: NonNullable<LockStore['leave']>;
  private lastArrival = 0;

  constructor(
    private readonly world: World,
    private readonly machine: Machine,
    private readonly server: LockStore,
    private readonly loses: (event: StoreEvent) => boolean,
    private readonly latency: number,
  ) {
    this.refresh = (client, keys) => this.send(() => server.refresh?.(client, keys) ?? []);
    this.leave = (client, key) => this.send(() => server.leave?.(client, key));
  }

  get name(): string {
    return this.server.name;
  }

  get capabilities(): LockStore['capabilities'] {
    return this.server.capabilities;
  }

  encodeKey(request: EncodeKeyRequest): string {
    return this.server.encodeKey?.(request) as string;
  }

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    return this.send(() => this.server.acquire(request));
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return this.send(() => this.server.renew(requests));
  }

  release(request: ReleaseRequest): Promise<boolean> {
    return this.send(() => this.server.release(request));
  }

  inspect(request: InspectRequest): Promise<StoredGrant | null> {
    return this.send(() => this.server.inspect(request));
  }

  forceRelease(key: string, owner?: string): Promise<boolean> {
    return this.send(() => this.server.forceRelease(key, owner));
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): () => void {
    let subscribed = true;
    const end = this.server.subscribe(client, (event) => {
      if (this.loses(event)) return;
      this.world.after(this.trip(), () =>
        this.machine.enter(() => {
          if (subscribed) listener(event);
        }),
      );
    });
    return () => {
      subscribed = false;
      void end();
    };
  }

  private trip(): number {
    return this.world.network.random() * this.latency;
  }

  private send<T>(request: () => T | PromiseLike<T>): Promise<T> {
    const { world, machine } = this;
    return new Promise((resolve, reject) => {
      this.lastArrival = Math.max(this.lastArrival, world.now + this.trip());
      world.after(this.lastArrival - world.now, () => {
        const deliver = (settle: () => void): void => {
          world.after(this.trip(), () => machine.enter(settle));
        };
        Promise.resolve()
          .then(request)
          .then(
            (reply) => deliver(() => resolve(reply)),
            (error: unknown) => deliver(() => reject(error)),
          );
      });
    });
  }
}
