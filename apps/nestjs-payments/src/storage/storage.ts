import type { LockStore } from '@holdfast/core';

/** Where things are kept: records by name, and lists that grow. It knows nothing about who else writes. */
export abstract class Storage {
  /** Where the locks are. */
  abstract readonly locks: LockStore;
  abstract read<T>(name: string): Promise<T | undefined>;
  abstract write(name: string, record: unknown): Promise<void>;
  abstract append(list: string, entry: unknown): Promise<void>;
  abstract entries<T>(list: string): Promise<T[]>;

  async close(): Promise<void> {}
}
