import type { Engine } from './engine.ts';
import type { LockSettings } from './options.ts';
import type { Terms } from './terms.ts';

/** All that is decided about an acquisition before it starts. Shared by those with equal options. */
export interface Plan extends Omit<LockSettings, 'ttl'> {
  readonly engine: Engine;
  readonly terms: Terms;
}
