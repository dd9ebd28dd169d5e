import type { OrderClient } from '../client.ts';
import type { Registration } from '../registration.ts';

/** What a run of a job is told of its turn. */
export type Turn =
  /** There is no such job. */
  | { readonly kind: 'unknown' }
  /** It has its place, and would be the first; but these were started before it, and have not asked yet. */
  | { readonly kind: 'pending'; readonly jobs: readonly string[] }
  /** The same, and it is for this run to register them. */
  | { readonly kind: 'claimed'; readonly jobs: readonly string[] }
  /** A later job of its key has taken its place. */
  | { readonly kind: 'superseded' }
  | {
      /** `go`: it may ask for its locks. `behind`: others are before it. */
      readonly kind: 'go' | 'behind';
      readonly ahead: number;
      /** For how long it has been in the line, in ms. */
      readonly waited: number;
      /** Whether it was running when its worker died. */
      readonly again: boolean;
      /** Whether a job before it has no slot, and needs one before its turn comes. */
      readonly behindWaiting: boolean;
    };

export interface JoinOptions {
  /** The names of the jobs that come here; none means all. Others may be unguarded. */
  readonly names: readonly string[];
  /** Whether to register those that have not asked yet, rather than wait for them. */
  readonly impatient: boolean;
}

/**
 * A run of a job asks whether it is its turn; or, with an empty run, somebody registers a job that BullMQ
 * has started and that has not asked itself. Without keys: nobody need wait for this start of the job.
 *
 * Request: id, run, the first 24 characters of its member, the job names that matter, whether it is
 * impatient, its ttl, its safety delay, its keys, and whether its lines wait for jobs that fail.
 *
 * Answers `unknown`; `superseded`; `pending` or `claimed`, and jobs; or `go` or `behind`, how many are
 * before it, for how many ms it has been in the line, 1 if it was running when its worker died, and 1 if a
 * job before it has no slot.
 */
export const JOIN = /* lua */ `
-- One asks for the keys of each; whoever dies over it is relieved after a while.
local function claim(list)
  local mine = {}
  for _, job in ipairs(list) do
    local claimed = call('HGET', leftJobs, 'claim:' .. job)
    if not claimed or now - claimed > 5000 then
      call('HSET', leftJobs, 'claim:' .. job, string.format('%.0f', now))
      mine[#mine + 1] = job
    end
  end
  call('PEXPIRE', leftJobs, DAY)
  return mine
end

function handlers.join(request)
  local sort, names, impatient, lines = request[3], request[4], request[5], request[8]
  local name, start = unpack(call('HMGET', base .. id, 'name', 'ats'))
  if not name then return { 'unknown' } end
  local entry = entryOf(id)
  if run == '' then
    if entry or hasLeft(id) then return { 'go', 0, 0, 0 } end
  elseif entry then
    unmark(id)
    if entry.superseded then
      entry.run = run
      save(id, entry)
      return { 'superseded' }
    end
  end
  if #lines == 0 then
    if entry then drop(id) end
    leaves(id)
    if placeless then placeless.names[id] = '' end
    return { 'go', 0, 0, 0 }
  end
  -- Not if the job that ran was another one of this id, which was removed.
  local again = entry and entry.state == 'running' and string.sub(entry.member, 1, 24) == sort and 1 or 0
  if not entry or entry.run ~= run or entry.state ~= 'asking' then
    if entry then
      leaveLines(id, entry)
    else
      -- Jobs that were started before it may not have asked yet, until they are found to have.
      if run ~= '' then numberEarlier(names) end
      entry = { seq = numberOf(id), since = now, unsure = run ~= '' and 1 or nil }
    end
    entry.member = memberOf(id, sort, entry.seq)
    entry.run, entry.state, entry.lines = run, run == '' and 'seen' or 'asking', lines
    entry.ttl, entry.safety = request[6], request[7]
    entry.idle, entry.began, entry.saw = nil, nil, nil
    entries[id] = entry
    queueUp(id, entry)
  end
  if run == '' then
    save(id, entry)
    return { 'go', 0, 0, 0 }
  end
  asking, entry.asked, entry.start = id, now, start or ''
  local ahead, first, alone, behindWaiting = 0, true, isAlone(entry), 0
  for _, key in ipairs(alone and {} or lines) do
    local before = head(key)
    if before ~= id then
      first = false
      if not isActive(before) then behindWaiting = 1 end
      ahead = math.max(ahead, call('ZLEXCOUNT', lineOf(key), '[0', '(' .. entry.member))
    end
  end
  local before = entry.unsure and pending(names, 16) or {}
  if #before == 0 and not here[id] then entry.unsure = nil end
  if first and #before > 0 then
    save(id, entry)
    local mine = impatient and claim(before) or {}
    if #mine > 0 then return { 'claimed', unpack(mine) } end
    return { 'pending', unpack(before) }
  end
  -- If nobody is before it when it parks, it was missed by whoever left meanwhile.
  if not alone and (not first or isAnyTaken(entry)) then entry.saw = 1 end
  if first then entry.tries = (entry.tries or 0) + 1 end
  save(id, entry)
  -- With onFailure 'hold' it may not ask for its locks while another job of its keys runs: it could get them
  -- when that job has released them, and has not been marked as failed yet.
  local may = first and not (request[9] and not alone and isAnyRunning(entry))
  return { may and 'go' or 'behind', ahead, now - entry.since, again, behindWaiting }
end
`;

export async function join(
  client: OrderClient,
  { id, run, sort, ttl, safety, keys, holds }: Registration,
  { names, impatient }: JoinOptions,
): Promise<Turn> {
  const words = ['join', id, run, sort, names, impatient, ttl, safety, keys, holds];
  const [kind, ...rest] = (await client.ask(words, keys.length)) as [Turn['kind'], ...unknown[]];
  switch (kind) {
    case 'unknown':
    case 'superseded':
      return { kind };
    case 'pending':
    case 'claimed':
      return { kind, jobs: rest as string[] };
    default: {
      const [ahead, waited, again, behindWaiting] = rest as number[] as [
        number,
        number,
        number,
        number,
      ];
      return { kind, ahead, waited, again: again === 1, behindWaiting: behindWaiting === 1 };
    }
  }
}
