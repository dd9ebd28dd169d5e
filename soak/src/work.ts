import { setTimeout as sleep } from 'node:timers/promises';
import { LONGEST_WORK } from './protocol.ts';

const kept: unknown[] = [];

/** What is done under a lock. It goes on when the client is gone, as most work does. */
export async function work(leaks: boolean): Promise<void> {
  if (leaks) kept.push(Array.from({ length: 20_000 }, () => kept.length));
  await sleep(Math.random() * LONGEST_WORK);
}
