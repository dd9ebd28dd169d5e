import { LockStoreError } from '@holdfast/core';
import { UnusableServerError, type Connection } from './connection.ts';
import type { Connections } from './connections.ts';
import { ADD, CREDENTIALS_REFUSED, DELETE, GET, requestFrame, SET, type Reply } from './frames.ts';

/**
 * The version of an item as last seen. It is valid only on the connection that reported it: behind
 * another one may be a restarted server, whose CAS ids begin at 1 again.
 */
export interface Version {
  /** The item's CAS id, unique while the server lives. */
  readonly cas: bigint;
  readonly connection: Connection;
}

export interface Item {
  readonly value: string;
  readonly version: Version;
}

/**
 * The three verbs that locks need of memcached, one request each. "Not done" may also mean that the
 * connection broke and the outcome is unknown; reading the item then tells.
 */
export interface Items {
  read(key: string): Promise<Item | undefined>;
  /**
   * Writes an item if it is absent, or unchanged since `over`.
   *
   * @param exptime whole seconds: the item lives that long, or up to a second less
   * @param lost called if the connection broke: the request may still reach the server
   * @returns its version, or `undefined` if it was not written
   */
  write(
    key: string,
    value: string,
    exptime: number,
    over?: Version,
    lost?: () => void,
  ): Promise<Version | undefined>;
  /** Removes an item that is unchanged since `over`. @returns whether it did */
  remove(key: string, over: Version): Promise<boolean>;
}

const DONE = 0x00;
const NOT_FOUND = 0x01;
const EXISTS = 0x02;
const NOT_STORED = 0x05;

/** Statuses that trying again does not change, and what they mean. */
const PERMANENT: Readonly<Record<number, string>> = {
  0x03: 'the item is too large for the server',
  0x04: 'the server finds the request invalid',
  [CREDENTIALS_REFUSED]: 'the server refuses the credentials',
  0x81: 'the server does not know the request',
  0x83: 'the server does not support the request',
};

/** Above this memcached takes an exptime for a date. */
const LONGEST_EXPTIME = 2_592_000;

const NO_CAS =
  'This memcached runs without CAS ids (option -C), so anybody could take a lock from its holder ' +
  'unnoticed. Start it without that option.';

function permanent(message: string, cause?: unknown): LockStoreError {
  return new LockStoreError(message, { phase: 'acquire', permanent: true, cause });
}

function versionOf({ cas }: Reply, connection: Connection): Version {
  // With CAS 0 every condition would be true, and a release would take anybody's lock.
  if (cas === 0n) throw permanent(NO_CAS);
  return { cas, connection };
}

/** @throws what the status means, unless it is one of `expected` */
function check({ status, value }: Reply, ...expected: readonly number[]): number {
  if (expected.includes(status)) return status;
  const known = PERMANENT[status];
  if (known !== undefined) throw permanent(`memcached: ${known}.`);
  throw new Error(`memcached: ${value || 'unknown error'} (status ${status}).`);
}

function failure(error: Error): Error {
  return error instanceof UnusableServerError ? permanent(error.message, error) : error;
}

/** The binary protocol, which memjs speaks. */
export class BinaryItems implements Items {
  constructor(private readonly connections: Connections) {}

  read(key: string): Promise<Item | undefined> {
    const connection = this.connections.for(key);
    return exchange(connection, GET, requestFrame(GET, key, 0n), (reply) => {
      if (check(reply, DONE, NOT_FOUND) === NOT_FOUND) return undefined;
      return { value: reply.value, version: versionOf(reply, connection) };
    });
  }

  write(
    key: string,
    value: string,
    exptime: number,
    over?: Version,
    lost?: () => void,
  ): Promise<Version | undefined> {
    // 0 would be for ever, and a fraction is cut off to 0.
    if (!Number.isInteger(exptime) || exptime < 1 || exptime > LONGEST_EXPTIME) {
      throw new RangeError(`No exptime for a lock: ${exptime}.`);
    }
    const connection = this.connections.for(key);
    if (over !== undefined && over.connection !== connection) return Promise.resolve(undefined);
    const opcode = over === undefined ? ADD : SET;
    const request = requestFrame(opcode, key, over?.cas ?? 0n, value, exptime);
    return exchange(
      connection,
      opcode,
      request,
      (reply) => {
        const status = check(reply, DONE, NOT_FOUND, EXISTS, NOT_STORED);
        return status === DONE ? versionOf(reply, connection) : undefined;
      },
      () => {
        lost?.();
        return undefined;
      },
    );
  }

  remove(key: string, over: Version): Promise<boolean> {
    const connection = this.connections.for(key);
    if (over.connection !== connection) return Promise.resolve(false);
    return exchange(
      connection,
      DELETE,
      requestFrame(DELETE, key, over.cas),
      (reply) => check(reply, DONE, NOT_FOUND, EXISTS) === DONE,
      () => false,
    );
  }
}

/** @param unknown what to answer if the connection breaks after sending; by default that is an error */
function exchange<T>(
  connection: Connection,
  opcode: number,
  request: Buffer,
  understand: (reply: Reply) => T,
  unknown?: () => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    connection.send(request, {
      opcode,
      answered: (reply) => {
        try {
          resolve(understand(reply));
        } catch (error) {
          reject(error);
        }
      },
      failed: (error) => reject(failure(error)),
      broken: (error) => (unknown === undefined ? reject(failure(error)) : resolve(unknown())),
    });
  });
}
