import type { StoreEvent } from '@holdfast/core';
import type { ClientPort } from '../connection/port.ts';
import { isReadOnly } from './errors.ts';

/** A failover refuses writes for less, in ms, if the client notices it. */
const FAILOVER = 1_000;

/**
 * Notices that the client stays connected to a server that has become a replica: it refuses locks until
 * the client is told to connect anew.
 */
export class ReadOnlyWatch {
  /** The first refusal since the last grant; whoever is granted a lock sets it back. */
  refusedSince: number | undefined;
  private told = false;

  constructor(
    private readonly client: ClientPort,
    private readonly tell: (event: StoreEvent) => void,
  ) {}

  failed(error: unknown): void {
    if (this.told || !isReadOnly(error)) return;
    const now = performance.now();
    this.refusedSince ??= now;
    const { readOnlyRemedy } = this.client;
    if (now - this.refusedSince < FAILOVER || readOnlyRemedy === undefined) return;
    this.told = true;
    const message =
      'The Redis client is connected to a replica, which refuses locks (READONLY): after a failover it ' +
      `stays there. ${readOnlyRemedy}`;
    this.tell({ type: 'warning', code: 'HOLDFAST_REDIS_READONLY', message });
  }
}
