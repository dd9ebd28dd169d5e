import type { Sharing } from '@holdfast/core';
import type { TraceEvent } from './trace.ts';
import type { Invariant } from './violation.ts';

export type { Invariant };

/** What each invariant says, in the words of somebody who uses locks. */
export const INVARIANTS: Readonly<Record<Invariant, string>> = {
  exclusion: 'Two holders of one key never overlap.',
  weight: 'The permits of a key never weigh more together than its limit.',
  readers: 'A writer is never beside readers, nor beside another writer.',
  leadership: 'No leader acts after its successor has.',
  overtaking: 'Whoever waits is served before those who ask later.',
  belief: 'Whoever believes to hold a lock holds it on the store, for at least as long.',
  'signal-fired': 'A lock is told lost at its signal point, not later.',
  'tokens-grow': 'Every grant of a key has a larger fencing token than the one before.',
  'token-of-grant': 'Every holder has a fencing token of its own, of its own grant.',
  'never-shortened': 'A renewal never ends a lease earlier.',
  'never-revived': 'A lease that has ended never begins again.',
  'abort-prompt': 'Whoever aborts stops waiting at once.',
  limit: 'Nobody waits longer than asked.',
  liveness: 'Once nothing goes wrong any more, everybody gets the lock.',
  orphan: 'No key stays locked without a holder.',
  leftovers: 'Nothing is left when all is released and closed.',
  errors: 'Calls fail with the documented errors only.',
  unhandled: 'No rejection stays unhandled.',
  told: 'Whoever has lost a lock learns of it, at the latest when its lease ends.',
  durable: 'What was granted durably survives a failover.',
  kept: 'With `holdAtLeast`, nobody else gets the lock before that time is over.',
  counted: 'What the permits of a key weigh is what the store takes off its limit.',
  prompt: 'A key that is free does not keep those waiting who want it.',
  patience: 'A wait without a limit goes on while the servers can be reached.',
  budget: 'A lock that nobody else wants costs two scripts.',
  'server-leftovers': 'Nothing is left on the servers.',
};

const FAULTS: Readonly<Record<string, string>> = {
  'fail-before': 'fails before it takes effect',
  'fail-after': 'takes effect, but is reported as failed',
  'drop-request': 'never reaches the store',
  'drop-reply': 'takes effect, but its answer is lost',
  delay: 'is delayed',
  duplicate: 'is executed twice',
};

const REASONS: Readonly<Record<string, string>> = {
  expired: 'the signal point has passed without a renewal',
  stolen: 'somebody else holds it',
  evicted: 'the store no longer has it',
  superseded: 'its owner has acquired it again',
  forced: 'an operator released it',
  'max-hold': 'it was held for its maximum time',
  closed: 'the locker was closed',
};

/** Virtual ms, for people. */
export function ms(time: number): string {
  return `${(Math.round(time * 10) / 10).toLocaleString('en-US')} ms`;
}

function list(keys: readonly string[]): string {
  return keys.join(' and ');
}

/** Beside whom a lock is held. */
function beside(sharing: Sharing | undefined): string {
  if (sharing === undefined) return '';
  return sharing.shared ? ' as a reader' : ` with weight ${sharing.weight} of ${sharing.limit}`;
}

/** One line of plain English, without the time. */
export function describe(event: TraceEvent): string {
  switch (event.kind) {
    case 'begin': {
      const { processes, keys, calmAt } = event;
      const last = `After ${ms(calmAt)} nothing goes wrong any more.`;
      return `${processes.length} processes contend for ${keys.length} keys. ${last}`;
    }
    case 'request':
      return `${event.process} sends ${event.verb}${event.key === undefined ? '' : ` for ${event.key}`}.`;
    case 'grant':
      return `The store grants ${event.key} to ${event.process}, token ${event.token}.`;
    case 'waiting':
      return `${event.process} finds ${list(event.keys)} busy and waits.`;
    case 'acquired':
      return `${event.process} has acquired ${list(event.keys)} after ${ms(event.waited)}.`;
    case 'not-acquired':
      return `${event.process} does not get ${list(event.keys)}: ${event.reason}.`;
    case 'held':
      return `${event.process} holds ${event.key}${beside(event.sharing)}, token ${event.token}: signal point ${ms(event.signalPoint)}, lease until ${ms(event.until)}.`;
    case 'renewed':
      return `${event.process} renews ${event.key}: signal point ${ms(event.signalPoint)}, lease until ${ms(event.until)}.`;
    case 'released':
      return `${event.process} releases ${event.key}.`;
    case 'lost':
      return `${event.process} loses ${event.key}: ${REASONS[event.reason] ?? event.reason}.`;
    case 'fault':
      return describeFault(event);
    default:
      // The times in it have many digits.
      return `Violation of ${event.message.replaceAll(/\d+\.\d+/g, (time) => Number(time).toFixed(1))}. ${INVARIANTS[event.invariant]}`;
  }
}

function describeFault(event: Extract<TraceEvent, { kind: 'fault' }>): string {
  const { fault, process = '', verb, key = '', ms: length = 0 } = event;
  switch (fault) {
    case 'drop-message':
      return `A message to ${process}${key === '' ? '' : ` about ${key}`} is lost.`;
    case 'pause':
      return `${process} stands still for ${ms(length)}.`;
    case 'suspend':
      return `The machine of ${process} sleeps for ${ms(length)}.`;
    case 'step':
      return `The wall clock of ${process} is set ${length < 0 ? 'back' : 'forward'} by ${ms(Math.abs(length))}.`;
    case 'force':
      return `An operator at ${process} releases ${key} by force.`;
    case 'steal':
      return `A thief takes ${key}.`;
    case 'evict':
      return `The store forgets ${key}.`;
    case 'forget':
      return 'The store forgets everything.';
    case 'close':
      return `${process} closes its locker.`;
    default:
      return `The ${verb ?? 'request'} of ${process}${key === '' ? '' : ` for ${key}`} ${FAULTS[fault] ?? fault}.`;
  }
}

/** A history as text, one event a line: what `--trace` prints, and what a fingerprint is of. */
export function linesOf(events: readonly TraceEvent[]): string[] {
  return events.map((event) => `${ms(event.at).padStart(14)}  ${describe(event)}`);
}

/** The same for the same history, wherever it ran (32-bit FNV-1a of all times, names and numbers). */
export function fingerprint(events: readonly TraceEvent[]): string {
  let hash = 0x811c9dc5;
  for (const character of JSON.stringify(events)) {
    hash = Math.imul(hash ^ (character.codePointAt(0) as number), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}
