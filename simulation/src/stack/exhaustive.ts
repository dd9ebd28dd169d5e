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

function taskOf(process: number, at: number, wait: number): Task {
  return {
    kind: 'task',
    at,
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

const scheduleOf = ({ wait, isFirst = false }: Tried): StackSchedule => ({
  processes: 2,
  keys: ['key'],
  calmAt: 3_000,
  faults: 0,
  latency: 1,
  lag: 1,
  reconnectsOnReadOnly: false,
  tasks: [taskOf(0, isFirst ? 1 : 0, Infinity), taskOf(1, isFirst ? 0 : 1, wait)],
  elections: [],
  disturbances: [],
});

/** What is gone through. */
interface Tried {
  /** So many requests and their answers, from the first on. */
  readonly requests: number;
  /** So many messages of channels, which arrive, or do not arrive nor any after them. @default 0 */
  readonly messages?: number;
  /** How long the second process waits, in ms. */
  readonly wait: number;
  /** Whether it asks before the other, who waits as long as it takes. @default false */
  readonly isFirst?: boolean;
}

/**
 * Two processes that want one key, and every outcome of each of the first requests and its answer, and of
 * the first messages, in all combinations.
 *
 * @returns how many schedules there were
 * @throws Error that names the outcomes, with what was violated as its cause
 */
export async function exhaust(tried: Tried, options: StackOptions = {}): Promise<number> {
  const { requests, messages = 0 } = tried;
  const schedule = scheduleOf(tried);
  const ofRequests = OUTCOMES.length ** requests;
  const count = ofRequests * 2 ** messages;
  for (let combination = 0; combination < count; combination++) {
    const outcomes = Array.from(
      { length: requests },
      (_, index) => OUTCOMES[Math.floor(combination / OUTCOMES.length ** index) % OUTCOMES.length],
    );
    // A bit for each message.
    const broken = Math.floor(combination / ofRequests);
    let [next, message] = [0, 0];
    const plan = {
      schedule,
      nextFault: () => outcomes[next++],
      breaksNextMessage: () => message < messages && (broken & (1 << message++)) !== 0,
    };
    try {
      await simulateStack(1, 'single', { ...options, plan });
    } catch (cause) {
      const names = outcomes.map((outcome) => outcome?.kind ?? 'fine').join(', ');
      throw new Error(`${names}, messages ${broken.toString(2)}: ${String(cause)}`, { cause });
    }
  }
  return count;
}
