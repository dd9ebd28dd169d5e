import { LockStoreError } from '@holdfast/core';
import { Process } from '../process.ts';
import type { Task } from '../schedule.ts';
import { violated } from '../violation.ts';
import type { Host } from './host.ts';
import type { ProcessStore } from './topology.ts';

/** A process on the whole stack, which may crash and come back as another one. */
export class Member extends Process {
  constructor(
    readonly host: Host,
    readonly own: ProcessStore,
    /** Whether the servers can be reached for as long as anybody waits. */
    private readonly isPatient: () => boolean,
    ...process: ConstructorParameters<typeof Process>
  ) {
    super(...process);
  }

  /** The process is gone, and its connections are closed for it. */
  crash(): void {
    this.host.crash();
    for (const connection of this.own.connections) connection.abandon();
  }

  /** How many scripts its own clients were asked to run. */
  get scripts(): number {
    return this.own.clients.reduce((sum, { scripts }) => sum + scripts, 0);
  }

  /** Takes a lock and gives it back. */
  async solo(key: string): Promise<void> {
    // With a short lease an answer that is a little late has to be confirmed by a renewal.
    await (await this.locker.lock(key, { ttl: 10_000 })).release();
  }

  protected override urgent(keys: readonly string[]): Task {
    const task = super.urgent(keys);
    const { minTtl } = this.context.store.capabilities;
    const extendTo = task.extendTo === undefined ? undefined : Math.max(task.extendTo, minTtl);
    return { ...task, ttl: Math.max(task.ttl, minTtl), extendTo };
  }

  protected override expect(error: unknown, reason: Error, task: Task): void {
    super.expect(error, reason, task);
    if (!(error instanceof LockStoreError)) return;
    if (error.permanent) {
      violated('patience', `what heals by itself is taken for permanent: ${String(error.cause)}`);
    }
    if (task.wait === Infinity && this.isPatient()) {
      violated('patience', `a wait without a limit is given up: ${String(error.cause)}`);
    }
  }
}
