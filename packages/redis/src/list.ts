import {
  LockArgumentError,
  type ListedGrant,
  type ListRequest,
  type ListPage,
} from '@holdfast/core';
import type { ScriptCalls } from './commands/script-calls.ts';
import type { Permits } from './permits.ts';
import { toStoreError } from './commands/errors.ts';
import type { Primary } from './connection/port.ts';
import { OVERVIEWS } from './scripts/inspect.ts';
import { toList, toText } from './scripts/script.ts';

/** So many keys a server looks at in one SCAN: well below a millisecond. */
const SCANNED = 500;

/** So many times it is asked for one page. */
const ROUNDS = 8;

/** So many of the keys that it found are looked at together, at least. */
const LOOKED_AT = 100;

/** A server takes no larger cursor: it has 64 bits. */
const LARGEST_SCAN = 2n ** 64n - 1n;

/** Where a walk over the keys is: at which primary, from which cursor of SCAN on, behind which key. */
interface Position {
  readonly primary: string;
  readonly scan: string;
  /** Of the keys that this SCAN finds, those up to this one have been listed. */
  readonly after: string;
}

const START = '0';

/** One page of the locks that are held: a bounded number of SCANs, and a look at what they found. */
export async function listLocks(
  calls: ScriptCalls,
  permits: Permits,
  member: string,
  { prefix, limit, cursor }: ListRequest,
): Promise<ListPage> {
  const from = cursor === undefined ? undefined : readCursor(cursor, calls.client.isCluster);
  const primaries = await primariesOf(calls.client);
  const names = [...primaries.keys()].toSorted();
  const [firstName = ''] = names;
  const grants: ListedGrant[] = [];
  let position: Position = from ?? { primary: firstName, scan: START, after: '' };
  for (let round = 0; round < ROUNDS && grants.length < limit; round++) {
    let server = primaries.get(position.primary);
    if (server === undefined) {
      // It has been replaced by another: what that holds may be anywhere in the order.
      position = { primary: firstName, scan: START, after: '' };
      server = primaries.get(firstName);
    }
    if (server === undefined) return { grants };
    const found = await scanOnce(calls, server, position.scan, prefix);
    const keys = found.keys.filter((key) => key > position.after);
    const room = limit - grants.length;
    const chunk = keys.slice(0, Math.max(room, LOOKED_AT));
    const held = await look(calls, permits, member, chunk);
    const taken = held.slice(0, room);
    grants.push(...taken);
    const listed = taken.length < held.length ? taken.at(-1)?.key : chunk.at(-1);
    if (listed !== undefined && listed !== keys.at(-1)) {
      position = { ...position, after: listed };
    } else if (found.next !== START) {
      position = { ...position, scan: found.next, after: '' };
    } else {
      const next = names.find((name) => name > position.primary);
      if (next === undefined) return { grants };
      position = { primary: next, scan: START, after: '' };
    }
  }
  return { grants, cursor: writeCursor(position) };
}

interface Found {
  /** Of locks, as the locker has them. */
  readonly keys: readonly string[];
  readonly next: string;
}

async function scanOnce(
  { client }: ScriptCalls,
  server: Primary,
  scan: string,
  prefix: string,
): Promise<Found> {
  const start = client.keyPrefix;
  // Queues end otherwise.
  const pattern = `${escapeGlob(`${start}{${prefix}`)}*}`;
  let answer: unknown;
  try {
    answer = await server.scan(scan, pattern, SCANNED);
  } catch (error) {
    throw toStoreError(error, client, 'list');
  }
  const [next, stored] = toList(answer);
  const keys = toList(stored)
    .map(toText)
    .filter((name) => name.startsWith(`${start}{`))
    .map((name) => name.slice(start.length + 1, -1))
    .filter((key) => key.startsWith(prefix));
  // Sorted, so that a page that begins in the middle finds the same order.
  return { keys: [...new Set(keys)].toSorted(), next: toText(next) };
}

/** Those of the keys that are held. */
async function look(
  calls: ScriptCalls,
  permits: Permits,
  member: string,
  keys: readonly string[],
): Promise<ListedGrant[]> {
  const requests = keys.map((key) => ({ key, member }));
  const replies = await permits.look(requests, await calls.all(OVERVIEWS, requests));
  return replies.flatMap((grant, index) => {
    if (grant instanceof Error) throw grant;
    return grant === null ? [] : [{ ...grant, key: keys[index] as string }];
  });
}

/** The servers that are asked, by an address that another process would give them too. */
async function primariesOf(client: ScriptCalls['client']): Promise<Map<string, Primary>> {
  return new Map((await client.primaries()).map((primary) => [primary.address, primary]));
}

function writeCursor({ primary, scan, after }: Position): string {
  return ['1', scan, primary, after].join(' ');
}

/** @throws LockArgumentError */
function readCursor(cursor: string, cluster: boolean): Position {
  const match = /^1 (\d{1,20}) (\S*:\d+)? (\S{0,200})$/.exec(cursor);
  const [, scan = START, primary = '', after = ''] = match ?? [];
  if (match === null || (primary !== '') !== cluster || BigInt(scan) > LARGEST_SCAN) {
    throw new LockArgumentError('`cursor` must be one that `list()` has answered.');
  }
  return { scan, primary, after };
}

function escapeGlob(text: string): string {
  return text.replaceAll(/[*?[\]\\^]/g, '\\$&');
}
