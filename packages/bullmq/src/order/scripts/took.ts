import { script, type OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';
import { MOVES, PRELUDE } from './prelude.ts';

/** A run has its locks. Request: id, run. */
const TOOK = script(
  PRELUDE,
  MOVES,
  /* lua */ `
local function handle()
  local entry = entryOf(id)
  if not entry or entry.run ~= run then return end
  local others = entry.saw
  entry.state, entry.began, entry.saw, entry.tries = 'running', now, nil, nil
  save(id, entry)
  for _, key in ipairs(entry.lines) do
    local line = lineOf(key)
    if others then call('ZREMRANGEBYLEX', line, '-', '(0') end
    call('ZADD', line, 0, '!' .. id)
    call('ZREM', line, entry.member)
    heads[key] = nil
    protect(key)
  end
end
`,
);

/** ms. A job that is done by then need not be told of. */
const PAUSE = 10;

/** Tells of runs that have their locks, of many at a time. Until then they count as being about to. */
export class TakenLocks {
  private readonly untold = new Map<string, Registration>();
  private timer: NodeJS.Timeout | undefined;
  private telling: Promise<void> = Promise.resolve();

  constructor(private readonly client: OrderClient) {}

  took(registration: Registration): void {
    this.untold.set(registration.run, registration);
    this.timer ??= setTimeout(() => void this.tell(), PAUSE);
  }

  /** The run is over. Resolves when nothing is under way that tells of it. */
  async left({ run }: Registration): Promise<void> {
    if (!this.untold.delete(run)) await this.telling;
  }

  /** Tells of all that is not told yet. Never rejects. */
  async tell(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const runs = [...this.untold.values()];
    this.untold.clear();
    // If that is not heard of, they count as being about to have their locks until they are over.
    if (runs.length > 0) {
      const told = runs.map(({ id, run, keys }) => this.client.run(TOOK, [id, run], keys.length));
      this.telling = Promise.allSettled(told).then(() => {});
    }
    await this.telling;
  }
}
