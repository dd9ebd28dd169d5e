/** What must always be true. */
export type Invariant =
  | 'exclusion'
  | 'weight'
  | 'readers'
  | 'leadership'
  | 'overtaking'
  | 'belief'
  | 'signal-fired'
  | 'tokens-grow'
  | 'token-of-grant'
  | 'never-shortened'
  | 'never-revived'
  | 'abort-prompt'
  | 'limit'
  | 'liveness'
  | 'orphan'
  | 'leftovers'
  | 'errors'
  | 'unhandled'
  // Of the whole stack.
  | 'told'
  | 'durable'
  | 'kept'
  | 'counted'
  | 'prompt'
  | 'patience'
  | 'budget'
  | 'server-leftovers';

/** Something that must always be true was not. */
export class Violation extends Error {
  constructor(
    readonly invariant: Invariant,
    details: string,
  ) {
    super(`${invariant}: ${details}`);
    this.name = 'Violation';
  }
}

export function violated(invariant: Invariant, details: string): never {
  throw new Violation(invariant, details);
}
