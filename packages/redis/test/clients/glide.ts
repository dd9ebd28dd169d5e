import { setTimeout as sleep } from 'node:timers/promises';
import { GlideClient, GlideClusterClient, Logger } from '@valkey/valkey-glide';
import type { ClientKind, SingleOptions } from './kind.ts';

// It writes each error of a server, also those that are expected.
Logger.setLoggerConfig('off');

const secure = (tls: SingleOptions['tls']): object => ({
  connectionTimeout: 10_000,
  ...(tls !== undefined && { tlsAdvancedConfiguration: { rootCertificates: tls.ca } }),
});

/** Tests run on machines that are busy: what 250 ms do is tested by itself. */
const PATIENT = { requestTimeout: 10_000 };

const PREFIX = 'GLIDE has no key prefix';

/** What a client meets that is made while a server changes its role. It has to be made again. */
const PASSING = /No primary node found|Connection reset|Broken pipe|Connection refused/;

async function made<T>(make: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await make();
    } catch (error) {
      if (tries === 40 || !PASSING.test(String(error))) throw error;
      await sleep(250);
    }
  }
}

/** GLIDE 2. */
export const glide: ClientKind = {
  name: 'glide',
  cannot: {
    'a key prefix': PREFIX,
    'Sentinel with passwords on both': 'GLIDE has no Sentinel',
  },
  maySendAgain: false,
  canWait: false,

  async single({ host, port, db, username, password, tls }) {
    const client = await made(() =>
      GlideClient.createClient({
        ...PATIENT,
        addresses: [{ host, port }],
        useTLS: tls !== undefined,
        advancedConfiguration: secure(tls),
        ...(db !== undefined && { databaseId: db }),
        ...(password !== undefined && {
          credentials: { password, ...(username !== undefined && { username }) },
        }),
      }),
    );
    return {
      client,
      cut: () => client.customCommand(['QUIT']).catch(() => {}),
      close: () => client.close(),
    };
  },

  async cluster({ nodes, username, password, tls, natMap, readsFromReplicas = false }) {
    const client = await made(() =>
      GlideClusterClient.createClient({
        ...PATIENT,
        addresses: [...nodes],
        useTLS: tls !== undefined,
        advancedConfiguration: secure(tls),
        ...(password !== undefined && {
          credentials: { password, ...(username !== undefined && { username }) },
        }),
        ...(readsFromReplicas && { readFrom: 'preferReplica' as const }),
        ...(natMap !== undefined && {
          addressResolver: (host: string, port: number): [string, number] => {
            const mapped = natMap[`${host}:${port}`];
            return mapped === undefined ? [host, port] : [mapped.host, mapped.port];
          },
        }),
      }),
    );
    const route = 'allPrimaries' as const;
    return {
      client,
      cut: () => client.customCommand(['QUIT'], { route }).catch(() => {}),
      close: () => client.close(),
    };
  },

  sentinel: () => Promise.reject(new Error('GLIDE has no Sentinel.')),
};
