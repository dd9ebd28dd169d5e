import type { AnyRedisClient } from '@holdfast/redis';

interface Connected {
  readonly client: AnyRedisClient;
  readonly close: () => unknown;
}

const HOST = '127.0.0.1';

/** By library: a client as users make it. */
export const libraries: Readonly<Record<string, (port: number) => Promise<Connected>>> = {
  ioredis: async (port) => {
    const { Redis } = await import('ioredis');
    const client = new Redis(port, HOST);
    client.on('error', () => {});
    return { client, close: () => client.disconnect() };
  },

  'node-redis': async (port) => {
    const { createClient } = await import('redis');
    const client = createClient({ socket: { host: HOST, port } });
    client.on('error', () => {});
    await client.connect();
    return { client, close: () => client.destroy() };
  },

  glide: async (port) => {
    const { GlideClient, Logger } = await import('@valkey/valkey-glide');
    Logger.setLoggerConfig('off');
    const config = { addresses: [{ host: HOST, port }], requestTimeout: 2_000 };
    for (;;) {
      try {
        const client = await GlideClient.createClient(config);
        return { client, close: () => client.close() };
      } catch {
        // The server is down, or the connection was cut: of the others each tries again by itself.
      }
    }
  },
};

/** Connects a client of a library. */
export function connect(library: string, port: number): Promise<Connected> {
  const make = libraries[library];
  if (make === undefined) throw new Error(`There is no client of ${library}.`);
  return make(port);
}
