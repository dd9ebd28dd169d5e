import type { RedisClient, RedisCluster } from './client.ts';

/** Told what becomes of a client's connection. */
interface ClientWatcher {
  readonly close?: () => void;
  readonly ready?: () => void;
  readonly end?: () => void;
}

const EVENTS = ['close', 'ready', 'end'] as const;

interface Watch {
  readonly watchers: Set<ClientWatcher>;
  readonly stop: () => void;
}

const watches = new WeakMap<RedisClient | RedisCluster, Watch>();

/**
 * Tells a watcher what becomes of a client's connection. A client gets one listener per event, however
 * many stores share it: more than ten Node takes for a leak, and says so.
 *
 * @returns ends it
 */
export function watchClient(
  client: RedisClient | RedisCluster,
  watcher: ClientWatcher,
): () => void {
  const watch = watches.get(client) ?? listen(client);
  watch.watchers.add(watcher);
  return () => {
    if (watch.watchers.delete(watcher) && watch.watchers.size === 0) watch.stop();
  };
}

function listen(client: RedisClient | RedisCluster): Watch {
  const watchers = new Set<ClientWatcher>();
  const listeners = EVENTS.map((event) => {
    const listener = (): void => {
      for (const watcher of watchers) watcher[event]?.();
    };
    client.on(event, listener);
    return { event, listener };
  });
  const stop = (): void => {
    watches.delete(client);
    for (const { event, listener } of listeners) client.off(event, listener);
  };
  const watch = { watchers, stop };
  watches.set(client, watch);
  return watch;
}
