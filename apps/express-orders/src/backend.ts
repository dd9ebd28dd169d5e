import { memoryStore, type LockStore } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Redis } from 'ioredis';

export interface Order {
  readonly id: string;
  readonly item: string;
  readonly amount: number;
  status: 'placed' | 'paid' | 'shipped';
  receipt?: string;
  parcel?: string;
}

/** What the instances share: the store of the locks, the orders, and the books of the bank. */
export interface Backend {
  readonly store: LockStore;
  read(id: string): Promise<Order | undefined>;
  write(order: Order): Promise<void>;
  /** Takes the money of an order, once more for each call. */
  charge(id: string): Promise<void>;
  charges(id: string): Promise<number>;
  close(): Promise<unknown>;
}

export function memoryBackend(): Backend {
  const orders = new Map<string, string>();
  const books = new Map<string, number>();
  return {
    store: memoryStore(),
    read: async (id) => JSON.parse(orders.get(id) ?? 'null') ?? undefined,
    write: async (order) => void orders.set(order.id, JSON.stringify(order)),
    charge: async (id) => void books.set(id, (books.get(id) ?? 0) + 1),
    charges: async (id) => books.get(id) ?? 0,
    close: async () => {},
  };
}

export function redisBackend(url: string): Backend {
  const redis = new Redis(url);
  return {
    store: redisStore(redis),
    read: async (id) => JSON.parse((await redis.get(`orders:${id}`)) ?? 'null') ?? undefined,
    write: async (order) => void (await redis.set(`orders:${order.id}`, JSON.stringify(order))),
    charge: async (id) => void (await redis.incr(`charges:${id}`)),
    charges: async (id) => Number(await redis.get(`charges:${id}`)),
    close: () => redis.quit(),
  };
}
