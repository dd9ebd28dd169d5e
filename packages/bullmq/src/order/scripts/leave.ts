import type { OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';

/**
 * A run is over, or gives up its place, and whoever is next is woken.
 *
 * Request: id, run, whether the job is to be tried again and its lines wait for that, and its keys.
 *
 * Whoever found that the job is completed may have dropped it before this is heard of; those who were parked
 * behind it are woken all the same.
 */
export const LEAVE = /* lua */ `
function handlers.leave(request)
  local entry = entryOf(id)
  if entry and entry.run == run then
    if request[3] then
      leaveLines(id, entry)
      entry.state, entry.began = 'held', nil
      queueUp(id, entry)
      save(id, entry)
    else
      drop(id)
    end
    leaves(id)
  end
  wakeNext(request[4])
end
`;

export async function leave(
  client: OrderClient,
  { id, run, keys }: Registration,
  hold: boolean,
): Promise<void> {
  await client.ask(['leave', id, run, hold, keys], keys.length);
}
