import type { Task } from '../schedule.ts';
import type { LinkFault } from './network.ts';
import type { StackSchedule } from './schedule.ts';
import { simulateStack, type StackOptions } from './simulate.ts';

/** What may become of a request and its answer; a late one is overtaken by what others send. */
const OUTCOMES: readonly (LinkFault | undefined)[] = [
  undefined,
  { kind: 'cut-before' },
  { kind: 'cut-after' },
  { kind: 'cut-late', ms: 400 },
  { kind: 'late-request', ms: 250 },
  { kind: 'late-reply', ms: 250 },
];

function taskOf(process: number, wait: number): Task {
  return {
    kind: 'task',
    at: process,
    process,
    callback: false,
    keys: ['key'],
    sharing: { shared: false, limits: [1], weight: 1 },
    wait,
    ttl: 300,
    owner: undefined,
    renew: true,
    maxHold: Infinity,
    holdAtLeast: 0,
    hold: 20,
    abortAfter: undefined,
    extendTo: undefined,
    crashes: false,
  };
}

const scheduleOf = (wait: number): StackSchedule => ({
  processes: 2,
  keys: ['key'],
  calmAt: 3_000,
  faults: 0,
  latency: 1,
  lag: 1,
  reconnectsOnReadOnly: false,
  tasks: [taskOf(0, Infinity), taskOf(1, wait)],
  elections: [],
  disturbances: [],
});

/**
 * Two processes that want one key, and every outcome of each of the first requests and its answer, in all
 * combinations.
 *
 * @param wait of the second process, in ms
 * @returns how many schedules there were
 * @throws Error that names the outcomes, with what was violated as its cause
 */
export async function exhaust(
  requests: number,
  wait: number,
  options: StackOptions = {},
): Promise<number> {
  const schedule = scheduleOf(wait);
  const count = OUTCOMES.length ** requests;
  for (let combination = 0; combination < count; combination++) {
    const outcomes = Array.from(
      { length: requests },
      (_, index) => OUTCOMES[Math.floor(combination / OUTCOMES.length ** index) % OUTCOMES.length],
    );
    let next = 0;
    const plan = { schedule, nextFault: () => outcomes[next++] };
    try {
      await simulateStack(1, 'single', { ...options, plan });
    } catch (cause) {
      const names = outcomes.map((outcome) => outcome?.kind ?? 'fine').join(', ');
      throw new Error(`${names}: ${String(cause)}`, { cause });
    }
  }
  return count;
}
