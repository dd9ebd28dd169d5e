import { memoryStore } from '@holdfast/core';
import { Storage } from './storage.ts';

/** For one process. */
export class MemoryStorage extends Storage {
  readonly locks = memoryStore();
  private readonly records = new Map<string, string>();
  private readonly lists = new Map<string, string[]>();

  async read<T>(name: string): Promise<T | undefined> {
    const record = this.records.get(name);
    return record === undefined ? undefined : (JSON.parse(record) as T);
  }

  async write(name: string, record: unknown): Promise<void> {
    this.records.set(name, JSON.stringify(record));
  }

  async append(list: string, entry: unknown): Promise<void> {
    this.lists.set(list, [...(this.lists.get(list) ?? []), JSON.stringify(entry)]);
  }

  async entries<T>(list: string): Promise<T[]> {
    return (this.lists.get(list) ?? []).map((entry) => JSON.parse(entry) as T);
  }
}
