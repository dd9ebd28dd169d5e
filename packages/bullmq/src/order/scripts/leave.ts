import { script, type OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';
import { MOVES, PRELUDE } from './prelude.ts';

/**
 * A run is over, or gives up its place, and whoever is next is woken.
 *
 * Request: id, run, whether the job is to be tried again and its lines wait for that.
 */
const LEAVE = script(
  PRELUDE,
  MOVES,
  /* lua */ `
local function handle(request)
  local entry = entryOf(id)
  if not entry or entry.run ~= run then return end
  if request[3] then
    leaveLines(id, entry)
    entry.state, entry.began = 'held', nil
    queueUp(entry)
    save(id, entry)
  else
    drop(id)
  end
  leaves(id)
  wakeNext(entry.lines)
end
`,
);

export async function leave(
  client: OrderClient,
  { id, run, keys }: Registration,
  hold: boolean,
): Promise<void> {
  await client.run(LEAVE, [id, run, hold], keys.length);
}
