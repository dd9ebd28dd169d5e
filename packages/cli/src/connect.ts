import { createLocker, type Locker } from '@holdfast/core';
import { redisStore } from '@holdfast/redis';
import { Cluster, Redis } from 'ioredis';
import { findConfig, loadLocker } from './config.ts';
import { UnavailableError, UsageError } from './exit-codes.ts';
import { within } from './within.ts';

/** Options of every command. */
export interface StoreFlags {
  readonly url?: string | undefined;
  readonly cluster?: boolean | undefined;
  readonly config?: string | undefined;
  readonly namespace?: string | undefined;
}

export interface Connection {
  readonly locker: Locker;
  /** Whether the locker is the application's, with settings that are not known here. */
  readonly own: boolean;
  /** The server, where we know it. */
  readonly client?: Redis | Cluster | undefined;
  readonly close: () => Promise<void>;
}

/** ms until a server that does not answer counts as away. */
const CONNECT_TIMEOUT = 5_000;

/**
 * A locker, from the first of these: `--url`, `--config`, a `holdfast.config` file here, `REDIS_URL`.
 *
 * @param label who holds, for people
 * @throws UsageError where there is none, UnavailableError where its server is away
 */
export async function connect(flags: StoreFlags, label?: string): Promise<Connection> {
  if (flags.url !== undefined && flags.config !== undefined) {
    throw new UsageError('Give --url or --config, not both.');
  }
  const config = flags.url === undefined ? (flags.config ?? findConfig()) : undefined;
  if (config !== undefined) {
    if (flags.namespace !== undefined || flags.cluster === true) {
      throw new UsageError(
        '--namespace and --cluster are for --url: the locker of a file has its own.',
      );
    }
    const locker = await loadLocker(config);
    return { locker, own: true, close: () => locker.close() };
  }
  const url = flags.url ?? process.env['REDIS_URL'];
  if (url === undefined || url === '') {
    throw new UsageError(
      'There is no store: give --url redis://…, set REDIS_URL, or export the locker of your ' +
        'application from a holdfast.config.js here.',
    );
  }
  const client = await reach(url, flags.cluster === true);
  const { namespace } = flags;
  const locker = createLocker({ store: redisStore(client), namespace, label, name: 'cli' });
  return {
    locker,
    own: false,
    client,
    close: async () => {
      await locker.close();
      client.disconnect();
    },
  };
}

async function reach(url: string, cluster: boolean): Promise<Redis | Cluster> {
  const addresses = url.split(',').map((one) => checkUrl(one.trim()));
  const options = { lazyConnect: true, connectTimeout: CONNECT_TIMEOUT };
  const [first] = addresses as [string];
  if (addresses.length > 1 && !cluster) {
    throw new UsageError('Several addresses are for a Cluster: add --cluster.');
  }
  const client = cluster
    ? new Cluster(addresses, {
        lazyConnect: true,
        redisOptions: { connectTimeout: CONNECT_TIMEOUT },
      })
    : new Redis(first, options);
  const { db = 0 } = client instanceof Redis ? client.options : {};
  if (!Number.isInteger(db)) {
    throw new UsageError('The database in the address of the server must be a number.');
  }
  let last: unknown;
  // Without a listener ioredis prints each.
  client.on('error', (error) => (last = error));
  try {
    await client.connect();
    // A server that is frozen accepts connections.
    await within(CONNECT_TIMEOUT, client.ping());
    // ioredis goes on with database 0 where the server refuses another.
    if (client instanceof Redis && db !== 0) await client.select(db);
    return client;
  } catch (error) {
    client.disconnect();
    throw new UnavailableError(`The server at ${hosts(addresses)} cannot be used.`, {
      cause: last ?? error,
    });
  }
}

function checkUrl(url: string): string {
  const full = url.includes('://') ? url : `redis://${url}`;
  if (!URL.canParse(full) || !/^rediss?:$/.test(new URL(full).protocol)) {
    throw new UsageError('The address of the server must be a URL redis://… or rediss://….');
  }
  return full;
}

/** Without credentials. */
function hosts(urls: readonly string[]): string {
  return urls.map((url) => new URL(url).host).join(', ');
}
