import type { OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';

/** A run has its locks. Request: id, run. */
export const TOOK = /* lua */ `
function handlers.took()
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
`;

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

  /**
   * The run is over.
   *
   * @returns what tells of it, if that is under way
   */
  left({ run }: Registration): Promise<void> | undefined {
    return this.untold.delete(run) ? undefined : this.telling;
  }

  /** Tells of all that is not told yet. Never rejects. */
  async tell(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const runs = [...this.untold.values()];
    this.untold.clear();
    // If that is not heard of, they count as being about to have their locks until they are over.
    if (runs.length > 0) {
      const told = runs.map(({ id, run, keys }) => this.client.ask(['took', id, run], keys.length));
      this.telling = Promise.allSettled(told).then(() => {});
    }
    await this.telling;
  }
}
