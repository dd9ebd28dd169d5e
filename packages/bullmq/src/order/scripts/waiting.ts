import type { OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';

/**
 * The jobs that BullMQ starts next and that have no place yet, the next one first.
 *
 * Request: '', '', how many to look at.
 * Answers 1 if there are more, and the jobs.
 */
export const PEEK = /* lua */ `
function handlers.peek(request)
  local count = request[3]
  local found, list = call('LRANGE', base .. 'wait', -count, -1), {}
  for i = #found, 1, -1 do list[#list + 1] = found[i] end
  if #list < count then
    local rest = call('ZRANGE', base .. 'prioritized', 0, count - #list - 1)
    for _, job in ipairs(rest) do list[#list + 1] = job end
  end
  local more, fresh = #list == count and 1 or 0, {}
  for from = 1, #list, 1000 do
    local some = { unpack(list, from, math.min(from + 999, #list)) }
    for i, entry in ipairs(call('HMGET', jobs, unpack(some))) do
      if not entry then fresh[#fresh + 1] = some[i] end
    end
  end
  return { more, fresh }
end
`;

export async function peek(
  client: OrderClient,
  count: number,
): Promise<{ readonly more: boolean; readonly ids: readonly string[] }> {
  const [more, ids] = (await client.ask(['peek', '', '', count])) as [number, string[]];
  return { more: more === 1, ids };
}

/**
 * Parks jobs that wait for a start and would not be the first for their keys, as if they had been started.
 * None passes a job before it that stays. One that was started meanwhile is no such job: whoever is woken
 * waits until it has asked.
 *
 * Request: '', '', in how many ms they must start in any case or 0, the jobs in their order (id, sort, ttl,
 * safety delay, and the list of their keys), and the keys of jobs before them that stayed.
 * Answers those that were parked, and those that stayed.
 */
export const PARK_WAITING = /* lua */ `
-- Whether somebody runs that has its keys, or is before it in a line. One that is tried again may be before
-- all that wait: if it were parked, whoever is woken instead would find it first, and nobody would wake it.
local function isBehind(job, sort, lines)
  -- Of ids that are no numbers only what comes before the number is known yet.
  local place = isNumber(job) and memberOf(job, sort) or sort
  for _, key in ipairs(lines) do
    local _, first = head(key)
    if isTaken(key) or (first and string.sub(first, 1, #place) < place) then return true end
  end
  return false
end

local function parkOne(job, sort, ttl, safety, lines, deadline)
  -- One that stalled may own its lock still.
  local known = call('HMGET', base .. job, 'name', 'stc')
  if not known[1] or entryOf(job) then return 'gone' end
  if known[2] or not isBehind(job, sort, lines) then return 'stayed' end
  if call('LREM', base .. 'wait', -1, job) + call('ZREM', base .. 'prioritized', job) == 0 then
    return 'gone'
  end
  local seq = numberOf(job)
  local entry = {
    run = '', state = 'parked', seq = seq, since = now, member = memberOf(job, sort, seq),
    lines = lines, ttl = ttl, safety = safety, unsure = 1,
  }
  if deadline > 0 then entry.deadline = now + deadline end
  save(job, entry)
  call('ZADD', delayed, 0, job)
  park(job, entry, HOUR)
  tellEvent(job, 'delayed', 'delay', string.format('%.0f', now + HOUR))
  local ahead = 0
  for _, key in ipairs(lines) do
    ahead = math.max(ahead, call('ZLEXCOUNT', lineOf(key), '-', '(' .. entry.member))
  end
  mark(job, entry, ahead)
  queueUp(job, entry)
  return 'parked'
end

function handlers.parkWaiting(request)
  local deadline, found, staying, lines = request[3], { parked = {}, stayed = {}, gone = {} }, {}, {}
  for _, key in ipairs(request[5]) do staying[key] = true end
  numberEarlier({})
  for _, given in ipairs(request[4]) do
    local job, sort, ttl, safety, keys = unpack(given)
    local outcome
    for _, key in ipairs(keys) do outcome = staying[key] and 'stayed' or outcome end
    outcome = outcome or parkOne(job, sort, ttl, safety, keys, deadline)
    table.insert(found[outcome], job)
    for _, key in ipairs(keys) do
      if outcome == 'stayed' then staying[key] = true end
      if outcome == 'parked' then lines[key] = true end
    end
  end
  for key in pairs(lines) do protect(key) end
  return { found.parked, found.stayed }
end
`;

export interface WaitingJobs {
  /** In their order. */
  readonly jobs: readonly Registration[];
  /** The keys of jobs before them that stayed. */
  readonly staying: readonly string[];
  /** In how many ms they must start in any case. */
  readonly deadline: number | undefined;
}

/** @returns the ids of those that were parked, and of those that stayed; the others were started meanwhile */
export async function parkWaiting(
  client: OrderClient,
  { jobs, staying, deadline }: WaitingJobs,
): Promise<{ readonly parked: ReadonlySet<string>; readonly stayed: ReadonlySet<string> }> {
  const given = jobs.map(({ id, sort, ttl, safety, keys }) => [id, sort, ttl, safety, keys]);
  const words = ['parkWaiting', '', '', Math.ceil(deadline ?? 0), given, staying];
  const [parked, stayed] = (await client.ask(words, jobs.length)) as string[][];
  return { parked: new Set(parked), stayed: new Set(stayed) };
}
