import type { OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';

/**
 * A run has deferred its job, for no longer than the safety delay. Who is not the first of a line is away
 * for longer; whose turn it has become meanwhile is woken.
 *
 * Request: id, run, in how many ms the job must start in any case or 0, whether of jobs with
 * the same keys only the latest is to wait.
 *
 * Answers `wait` if a job that was only seen is the first of a line: it may never ask itself, and then
 * nobody tells when it is gone; or `look` if its keys were taken by other code, which may have released
 * them before this job was parked; or `done`.
 */
export const PARK = /* lua */ `
local function supersede(job, entry)
  entry.superseded = true
  save(job, entry)
  wake(job)
end

function handlers.park(request)
  local entry = entryOf(id)
  if not entry or entry.run ~= run then return 'done' end
  entry.state = 'parked'
  if request[3] > 0 then entry.deadline = now + request[3] end
  save(id, entry)
  if not isParked(id, entry) then return 'done' end

  if request[4] and entry.lines[1] then
    local names = table.concat(entry.lines, ' ')
    for _, member in ipairs(call('ZRANGEBYLEX', lineOf(entry.lines[1]), '[0', '+', 'LIMIT', 0, 100)) do
      local job = idOf(member)
      local other = job ~= id and entryOf(job)
      if isParked(job, other) and not other.superseded and table.concat(other.lines, ' ') == names then
        -- By when they were added, whatever their priorities: the rest of a member is the time and the number.
        if string.sub(member, 8) < string.sub(entry.member, 8) then
          supersede(job, other)
        else
          supersede(id, entry)
          return 'done'
        end
      end
    end
  end

  local first, answer = isFirst(id, entry), 'done'
  local free = first and not isAnyTaken(entry)
  if free and entry.saw then
    entry.tries = nil
    save(id, entry)
    wake(id)
    for _, key in ipairs(entry.lines) do protect(key) end
    return answer
  end
  if free and (entry.tries or 0) < MOST_TRIES then answer = 'look' end
  local ahead = 0
  for _, key in ipairs(entry.lines) do
    local job = head(key)
    local other = job and entryOf(job)
    if other and other.state == 'seen' then answer = 'wait' end
    ahead = math.max(ahead, call('ZLEXCOUNT', lineOf(key), '-', '(' .. entry.member))
  end
  mark(id, entry, ahead)
  if not first then park(id, entry, HOUR) end
  for _, key in ipairs(entry.lines) do protect(key) end
  return answer
end
`;

export interface ParkOptions {
  /** In how many ms the job must start in any case. */
  readonly deadline: number | undefined;
  /** Whether, of jobs with the same keys, only the latest is to wait. */
  readonly latest: boolean;
}

export async function park(
  client: OrderClient,
  { id, run, keys }: Registration,
  { deadline, latest }: ParkOptions,
): Promise<'done' | 'wait' | 'look'> {
  const words = ['park', id, run, Math.ceil(deadline ?? 0), latest];
  return (await client.ask(words, keys.length)) as 'done' | 'wait' | 'look';
}
