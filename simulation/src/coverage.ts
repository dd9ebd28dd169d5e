import { Contender } from '../../packages/core/src/acquire/contender.ts';
import { KeyQueue } from '../../packages/core/src/acquire/key-queue.ts';
import { KeyQueues } from '../../packages/core/src/acquire/key-queues.ts';
import { REFRESH_EVERY } from '../../packages/core/src/acquire/registrations.ts';
import type { Waiter } from '../../packages/core/src/acquire/waiter.ts';
import { Context } from '../../packages/core/src/context.ts';
import { patch } from './mutation.ts';

/** The private parts of a contender, to know where it is. */
interface ContenderParts {
  readonly state: string;
  readonly turn: string;
  readonly attempt: { readonly waiter: Waiter } | undefined;
}

/** What a call was given, and from where it came. */
interface Call {
  readonly args: readonly unknown[];
  readonly by: string;
}

type Details = (call: Call, contender: ContenderParts) => string;

const ASKING = ['asking', 'asking, called', 'asking, late'];
const ASKING_AGAIN = ASKING.map((state) => state.replace('asking', 'asking, then again'));
const ASKED = [...ASKING, ...ASKING_AGAIN];
/** It has asked for the waiter that is first, and may have failed or been told to wait. */
const BEGUN = [...ASKED, 'waiting', 'waiting, late', 'failing'];
const LIVE = [...BEGUN, 'idle'];
/** Called, it asks. */
const JUST_CALLED = ['idle, called', 'waiting, called', 'failing, called'];
/** After an answer that comes when it contends no more. */
const STOPPED = ['stopped', 'stopped, late'];

/** What can happen to a contender, and in which states. */
const POSSIBLE: Readonly<Record<string, readonly string[]>> = {
  ask: [...LIVE, ...JUST_CALLED],
  askInsteadOf: ['idle'],
  call: LIVE,
  hint: LIVE,
  unheard: [...LIVE, ...STOPPED],
  left: LIVE,
  stop: LIVE,
  granted: ASKED,
  busy: ASKED,
  conflicts: ASKED,
  failed: ASKED,
  grantedLate: BEGUN,
  reconnected: LIVE,
};

/**
 * All pairs of a state and an event that are possible, without details.
 *
 * @param connects whether the store has connections, which may be lost
 */
export function possiblePairs(connects: boolean): string[] {
  return Object.entries(POSSIBLE)
    .filter(([event]) => connects || event !== 'reconnected')
    .flatMap(([event, states]) => states.map((state) => `${state}: ${event}`));
}

/** A pair as it is in {@link possiblePairs}; branches of scripts have no details. */
export function withoutDetails(pair: string): string {
  return pair.startsWith('script: ') ? pair : pair.replace(/: (\w+).*$/, ': $1');
}

/** In how many ms the key could be had. */
function when(ms: unknown): string {
  if (ms === undefined || ms === Infinity) return 'when woken';
  if ((ms as number) <= 0) return 'now';
  return (ms as number) <= REFRESH_EVERY ? 'soon' : 'later';
}

const lasting = (error: unknown): string =>
  (error as { permanent: boolean }).permanent ? 'for good' : 'for a while';

const nothing = (): string => '';
const caller = ({ by }: Call): string => `by ${by}`;

/** What may happen to a contender: by method, what makes a difference. */
const EVENTS: Readonly<Record<string, Details>> = {
  ask: caller,
  askInsteadOf: nothing,
  call: caller,
  hint: ({ args: [ms] }) => when(ms),
  unheard: ({ args: [error], by }) => `${lasting(error)}, by ${by}`,
  left: ({ args: [waiter, room], by }, { attempt }) => {
    if (room !== undefined) return 'with a spare permit';
    if (attempt?.waiter === waiter) return `by ${by}, asked for`;
    return `by ${by}, ${(waiter as Waiter).unsure ? 'unsure' : 'not asked for'}`;
  },
  stop: nothing,
  granted: ({ args }) => ((args[3] as number) > 1 ? 'with room for more' : ''),
  busy: ({ args: [, retryAfter] }) => when(retryAfter),
  conflicts: nothing,
  failed: ({ args: [, error] }) => lasting(error),
  grantedLate: nothing,
};

/** Where a waiter leaves a queue, or another becomes its first. */
const CALLERS = ['withdraw', 'serve', 'serveLike', 'refuse', 'fail', 'review'] as const;

/** Where it is, and what happens to it. */
function pairOf({ state, turn }: ContenderParts, event: string): string {
  return `${state}${turn === 'in line' ? '' : `, ${turn}`}: ${event}`;
}

/**
 * Notes in which state a contender is when something happens to it. Nothing else is changed.
 *
 * @returns ends it
 */
export function observe(note: (pair: string) => void): () => void {
  /** The calls that are under way, the innermost last. */
  const calls: string[] = [];
  const within = (call: string, run: () => unknown): unknown => {
    calls.push(call);
    try {
      return run();
    } finally {
      calls.pop();
    }
  };
  const ends = Object.entries(EVENTS).map(([name, detailsOf]) =>
    patch(Contender, name, (original) => {
      return function (this: Contender, ...args: unknown[]) {
        const parts = this as unknown as ContenderParts;
        const details = detailsOf({ args, by: calls.at(-1) ?? 'a timer' }, parts);
        note(pairOf(parts, details === '' ? name : `${name} ${details}`));
        return within(name, () => original.apply(this, args));
      };
    }),
  );
  for (const name of CALLERS) {
    ends.push(
      patch(KeyQueue, name, (original) => {
        return function (this: KeyQueue, ...args: unknown[]) {
          return within(name, () => original.apply(this, args));
        };
      }),
    );
  }
  ends.push(
    patch(KeyQueues, 'woken', (original) => {
      return function (this: KeyQueues, stored: string) {
        return within('woken', () => original.call(this, stored));
      };
    }),
    patch(Context, 'hear', (original) => {
      return function (this: Context, event: { type: string }) {
        if (event.type === 'reconnected') {
          for (const { contender } of this.queues.byKey.values()) {
            if (contender === undefined) continue;
            note(pairOf(contender as unknown as ContenderParts, 'reconnected'));
          }
        }
        return original.call(this, event);
      };
    }),
  );
  return () => {
    for (const end of ends.toReversed()) end();
  };
}
