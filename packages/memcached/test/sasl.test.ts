import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LockStoreError } from '@holdfast/core';
import { Client } from 'memjs';
import { expect } from 'vitest';
import { Site, test } from './kit/site.ts';

const LIST = 0x20;
const AUTHENTICATE = 0x21;
const REFUSED = 0x20;

function reply(request: Buffer, status: number, value: string): Buffer {
  const bytes = Buffer.alloc(24 + value.length);
  // With its opcode and its opaque field.
  request.copy(bytes, 0, 0, 24);
  bytes[0] = 0x81;
  bytes.fill(0, 2, 12);
  bytes.writeUInt16BE(status, 6);
  bytes.writeUInt32BE(value.length, 8);
  bytes.write(value, 24);
  return bytes;
}

/** Asks for credentials as memcached does, and then leads to one that wants none. */
async function withCredentials(site: Site, expected: string): Promise<string> {
  const front = createServer();
  const serve = (client: Socket): void => {
    client.on('error', () => {});
    client.on('data', function handshake(chunk: Buffer) {
      if (chunk[1] === LIST) {
        client.write(reply(chunk, 0, 'PLAIN'));
      } else if (chunk[1] !== AUTHENTICATE || !chunk.toString().endsWith(expected)) {
        client.write(reply(chunk, REFUSED, 'Auth failure.'));
      } else {
        client.off('data', handshake);
        const server = connect(site.server.port, site.server.host);
        server.on('error', () => {});
        client.pipe(server).pipe(client);
        client.write(reply(chunk, 0, 'Authenticated'));
      }
    });
  };
  front.on('connection', serve);
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  site.onEnd(() => front.close());
  return `127.0.0.1:${(front.address() as AddressInfo).port}`;
}

test('the credentials of the client are used', async ({ site }) => {
  const address = await withCredentials(site, '\0user\0secret');
  const clients = [
    Client.create(`user:secret@${address}`),
    Client.create(address, { username: 'user', password: 'secret' }),
  ];
  for (const client of clients) {
    const locker = site.locker({}, client);
    const lock = await locker.lock('key');
    await lock.extend();
    expect(await lock.release()).toBe(true);
  }
});

test('credentials that are refused are an error at once', async ({ site }) => {
  const address = await withCredentials(site, '\0user\0secret');
  for (const client of [Client.create(`user:wrong@${address}`), Client.create(address)]) {
    const locker = site.locker({}, client);
    for (const wait of [0, Infinity]) {
      const expected = { code: 'LOCK_STORE_UNAVAILABLE', permanent: true };
      await expect(locker.lock('key', { wait })).rejects.toMatchObject(expected);
    }
  }
});

test('a memcached that wants credentials says so', async ({ skip }) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-sasl-'));
  await writeFile(join(folder, 'memcached.conf'), 'mech_list: plain\n');
  process.env['SASL_CONF_PATH'] = folder;
  const site = await Site.start(['-S']).catch(() => undefined);
  if (site === undefined) {
    skip('this memcached was built without SASL');
    return;
  }
  try {
    for (const client of [site.client(), Client.create(`user:secret@${site.address}`)]) {
      const error: unknown = await site
        .locker({}, client)
        .lock('key')
        .catch((reason) => reason);
      expect(error).toBeInstanceOf(LockStoreError);
      expect(error).toMatchObject({ permanent: true });
    }
  } finally {
    await site.end();
    await rm(folder, { recursive: true });
  }
});
