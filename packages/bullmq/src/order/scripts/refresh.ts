import type { OrderClient } from '../client.ts';

/**
 * Looks after lines: the first that is parked stays so while somebody is known to be before it.
 *
 * Request: '', '', whether jobs that run here hold the keys, and the keys.
 *
 * Answers the keys for which jobs still wait; and, of jobs that are soon to start by themselves although
 * nobody here holds their keys, each with its keys: whether these are free, the locks tell.
 */
export const REFRESH = /* lua */ `
function handlers.refresh(request)
  local waiting, unsure = {}, {}
  for _, key in ipairs(request[4]) do
    local first = head(key)
    if first then
      waiting[#waiting + 1] = key
      call('PEXPIRE', lineOf(key), DAY)
      protect(key)
      local job = firstParked(key)
      local entry = job and entryOf(job)
      if entry then
        if request[3] or job ~= first then
          park(job, entry, entry.safety)
        else
          unsure[#unsure + 1] = { job, unpack(entry.lines) }
        end
      end
    end
  end
  call('PEXPIRE', jobs, DAY)
  return { waiting, unsure }
end
`;

export interface Refreshed {
  /** The keys for which jobs still wait. */
  readonly waiting: readonly string[];
  /** Jobs that start by themselves soon, unless somebody finds that their keys are taken. */
  readonly unsure: readonly { readonly id: string; readonly keys: readonly string[] }[];
}

/** @param held whether jobs that run here hold these keys */
export async function refresh(
  client: OrderClient,
  keys: readonly string[],
  held: boolean,
): Promise<Refreshed> {
  const reply = await client.ask(['refresh', '', '', held, keys], keys.length);
  const [waiting, unsure] = reply as [string[], [string, ...string[]][]];
  return { waiting, unsure: unsure.map(([id, ...lines]) => ({ id, keys: lines })) };
}

/** Starts a parked job now, or no sooner than after its safety delay. Request: id, '', whether its keys are free. */
export const SETTLE = /* lua */ `
function handlers.settle(request)
  local entry = entryOf(id)
  if not isParked(id, entry) or not isFirst(id, entry) then return end
  if request[3] then
    -- After some tries it starts by itself, every so often.
    if (entry.tries or 0) >= MOST_TRIES then return end
    wake(id)
    for _, key in ipairs(entry.lines) do protect(key) end
  else
    if entry.tries then
      entry.tries = nil
      save(id, entry)
    end
    park(id, entry, entry.safety)
  end
end
`;

/** Tells whether the keys of a parked job are free. */
export async function settle(client: OrderClient, id: string, free: boolean): Promise<void> {
  await client.ask(['settle', id, '', free]);
}
