import type { LockStore } from '@holdfast/core';
import { memcachedStore } from '@holdfast/memcached';
import { redisQuorum, redisStore, type RedisDurability } from '@holdfast/redis';
import { libraryOf, type AddressMap, type AnyConnected } from './clients.ts';

/** How a process gets at the locks, as words that one process can tell another. */
export type Place =
  | { readonly kind: 'single'; readonly library: string; readonly port: number }
  | {
      readonly kind: 'sentinel';
      readonly library: string;
      readonly port: number;
      readonly name: string;
      readonly map: AddressMap;
      readonly durability?: RedisDurability | undefined;
    }
  | {
      readonly kind: 'cluster';
      readonly library: string;
      readonly ports: readonly number[];
      readonly map: AddressMap;
    }
  | { readonly kind: 'quorum'; readonly library: string; readonly ports: readonly number[] }
  | { readonly kind: 'memcached'; readonly port: number };

/** A store, and what ends the clients that it is on. */
export interface Opened {
  readonly store: LockStore;
  readonly close: () => unknown;
}

const on = ({ client, close }: AnyConnected, durability?: RedisDurability): Opened => ({
  store: redisStore(client, { durability }),
  close,
});

/** Connects as users do. */
export async function openStore(place: Place): Promise<Opened> {
  if (place.kind === 'memcached') {
    const { Client } = await import('memjs');
    const client = Client.create(`127.0.0.1:${place.port}`);
    return { store: memcachedStore(client), close: () => client.close() };
  }
  const library = await libraryOf(place.library);
  switch (place.kind) {
    case 'single':
      return on(await library.single(place.port));
    case 'cluster':
      return on(await library.cluster(place));
    case 'sentinel': {
      if (library.sentinel === undefined) throw new Error(`${place.library} has no Sentinel.`);
      return on(await library.sentinel(place), place.durability);
    }
    default: {
      const all = await Promise.all(place.ports.map((port) => library.single(port)));
      const clients = all.map(({ client }) => client);
      return { store: redisQuorum(clients), close: () => all.map(({ close }) => close()) };
    }
  }
}
