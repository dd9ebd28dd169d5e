import type { Locker } from '@holdfast/core';
import { randomUUID } from 'node:crypto';
import { messageOf } from '../exit-codes.ts';
import { fail, ok, skipped, warn, type Finding } from './check.ts';

/** Without messages a waiter looks every so many ms whether it is its turn. */
const LOOKS_EVERY = 500;
/** ms from a release to the next look; a message takes a few. */
const BY_TIMER = 400;

const RIGHTS =
  'Give the user the rights that the README of @holdfast/redis names under “Server”, and see that the ' +
  'key is nobody else’s.';

/** Takes and releases locks that nobody else uses, as applications do. */
export async function checkLocks(locker: Locker): Promise<Finding[]> {
  const key = `holdfast-doctor:${randomUUID()}`;
  const [lock, failure] = await locker.tryLock(key).then(
    (taken) => [taken, undefined] as const,
    (error: unknown) => [undefined, error] as const,
  );
  if (lock === undefined || lock === null) {
    return [fail('locks', `A lock cannot be taken: ${messageOf(failure)}`, RIGHTS)];
  }
  const token = lock.fencingToken;
  const findings = [await checkMessages(locker, key, () => lock.release())];
  const again = await locker.tryLock(key);
  await again?.release();
  const grows = again !== null && again.fencingToken > token;
  findings.unshift(
    token === 0
      ? warn(
          'locks',
          'A lock was taken and released; there are no fencing tokens.',
          'See docs/quorum.md.',
        )
      : grows
        ? ok('locks', 'A lock was taken, passed on and released; its fencing token grows.')
        : fail('locks', 'A later fencing token is not larger.', 'Is the server’s clock set back?'),
  );
  findings.push(await checkListing(locker));
  return findings;
}

async function checkMessages(
  locker: Locker,
  key: string,
  release: () => Promise<unknown>,
): Promise<Finding> {
  let told: string | undefined;
  const endWarnings = locker.on('warning', ({ code }) => (told = code));
  let queued = (): void => {};
  const waits = new Promise<void>((resolve) => (queued = resolve));
  const endWaits = locker.on('waiting', () => queued());
  // With an owner of its own a lock is not handed over within the process.
  const next = locker.lock(key, { owner: randomUUID(), wait: 5_000 });
  await Promise.race([waits, next.catch(() => {})]);
  // Until its registration and its subscription are there, and its first look is over.
  await new Promise((resolve) => setTimeout(resolve, 1.1 * LOOKS_EVERY));
  const releasedAt = performance.now();
  await release();
  try {
    const lock = await next;
    const ms = performance.now() - releasedAt;
    await lock.release();
    if (ms < BY_TIMER && told === undefined) {
      return ok('messages', `A waiter was woken after ${Math.round(ms)} ms.`);
    }
    return warn(
      'messages',
      `A waiter was woken after ${Math.round(ms)} ms: by a timer, not by a message.`,
      'Let the user publish and subscribe to the channels holdfast:inbox:*, and see what is between here and the server.',
    );
  } catch (error) {
    return fail('messages', `A waiter got no lock: ${messageOf(error)}`, RIGHTS);
  } finally {
    endWarnings();
    endWaits();
  }
}

async function checkListing(locker: Locker): Promise<Finding> {
  try {
    const { locks, cursor } = await locker.list({ limit: 1_000 });
    const more = cursor === undefined ? '' : ' or more';
    return ok('listing', `${locks.length}${more} locks are held.`);
  } catch (error) {
    if ((error as { code?: string }).code === 'LOCK_INVALID_ARGUMENT') {
      return skipped('listing', 'This store cannot list its locks.');
    }
    return warn(
      'listing',
      `Locks cannot be listed: ${messageOf(error)}`,
      'ls, watch and the board need the right to SCAN.',
    );
  }
}
