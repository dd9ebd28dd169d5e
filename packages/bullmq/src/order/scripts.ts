import { createHash } from 'node:crypto';
import { PRELUDE } from './lua.ts';

/** A Lua script. */
export interface Script {
  readonly source: string;
  /** What the server calls it. */
  readonly sha: string;
}

function script(body: string): Script {
  const source = PRELUDE + body;
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/**
 * A run of a job asks whether it is its turn; or, with an empty run, somebody who has seen that BullMQ has
 * started a job tells its keys.
 *
 * ARGV: base, id, run, the first 24 characters of its member, the job names that matter as JSON, the
 * jobs whose keys nobody knows as JSON, the ttl, and its keys.
 *
 * Answers `pending` and the jobs that were started before it and are not known yet; or `go` or `behind`,
 * how many are before it, for how many ms it has been in the line, and 1 if it was running when its
 * worker died; or `unknown` if there is no such job.
 */
export const JOIN = script(/* lua */ `
if call('EXISTS', base .. id) == 0 then return { 'unknown' } end
local sort, names, given = ARGV[4], cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
local lines = {}
for i = 8, #ARGV do lines[#lines + 1] = ARGV[i] end

local function isPending(job)
  if given[job] or call('HEXISTS', jobs, job) == 1 or hasLeft(job) then return false end
  local name = call('HGET', base .. job, 'name')
  if not name or not names[1] then return name end
  for _, one in ipairs(names) do
    if one == name then return true end
  end
  return false
end

-- BullMQ puts what it starts at the left, and what has stalled where it starts it next.
local function pending()
  local list, active = {}, call('LRANGE', base .. 'active', 0, -1)
  for i = #active, 1, -1 do
    local job = active[i]
    if job == id then break end
    if isPending(job) then list[#list + 1] = job end
  end
  for i = -1, -1000, -1 do
    local job = call('LINDEX', base .. 'wait', i)
    if not job or not call('HGET', base .. job, 'stc') then break end
    if isPending(job) then list[#list + 1] = job end
  end
  return list
end

local entry = entryOf(id)
local again = entry and entry.state == 'run' and 1 or 0
if run == '' and (entry or hasLeft(id)) then return { 'go', 0, 0, 0 } end
if entry then
  for _, key in ipairs(entry.lines) do call('ZREM', lineOf(key), entry.member, '!' .. id) end
else
  if #lines > 0 and run ~= '' then
    local list = pending()
    if #list > 0 then return { 'pending', unpack(list, 1, math.min(#list, 1000)) } end
  end
  entry = { seq = call('HINCRBY', jobs, ':seq', 1), since = now }
end
-- Of jobs that were added within a ms: BullMQ's own ids are numbers in the order of adding.
local seq = string.match(id, '^%d+$') and #id <= 12 and tonumber(id) or entry.seq
if string.sub(sort, 8, 8) == '0' then seq = 999999999999 - seq end
entry.member = sort .. string.format('%012.0f', seq) .. id
entry.run, entry.state, entry.lines = run, run == '' and 'seen' or 'start', lines
entry.ttl, entry.idle, entry.woken = tonumber(ARGV[7]), nil, nil
if run ~= '' then entry.tries = (entry.tries or 0) + 1 end
save(id, entry)
local ahead, first = 0, true
for _, key in ipairs(lines) do
  local line = lineOf(key)
  call('ZADD', line, 0, entry.member)
  call('PEXPIRE', line, 86400000)
  if head(key) ~= id then
    first = false
    ahead = math.max(ahead, call('ZLEXCOUNT', line, '[0', '(' .. entry.member))
  end
end
local behind = not first and entryOf(id)
if behind and behind.tries then
  -- It was not its turn, so it has not tried.
  behind.tries = nil
  save(id, behind)
end
return { first and 'go' or 'behind', ahead, now - entry.since, again }
`);

/**
 * A run has its locks. ARGV: base, id, run, the safety delay.
 * Answers the jobs whose delay is to be the safety delay.
 */
export const TOOK = script(/* lua */ `
local entry, list = entryOf(id), {}
if not entry or entry.run ~= run then return list end
entry.state, entry.woken, entry.tries = 'run', nil, nil
save(id, entry)
for _, key in ipairs(entry.lines) do
  local line = lineOf(key)
  call('ZREM', line, entry.member)
  call('ZREMRANGEBYLEX', line, '-', '(0')
  call('ZADD', line, 0, '!' .. id)
  call('PEXPIRE', line, 86400000)
  watch(list, head(key), tonumber(ARGV[4]))
end
return list
`);

/**
 * A run is over, or gives up its place. ARGV: base, id, run, the safety delay.
 * Answers the jobs to wake, and the jobs whose delay is to be the safety delay.
 */
export const LEAVE = script(/* lua */ `
local entry, wake, list = entryOf(id), {}, {}
if not entry or entry.run ~= run then return { wake, list } end
drop(id)
leaves(id)
for _, key in ipairs(entry.lines) do
  local job, member = head(key)
  local next = job and entryOf(job)
  if next and (next.woken or next.tries) then
    next.woken, next.tries = nil, nil
    save(job, next)
  end
  if mayStart(job, next) then
    wake[#wake + 1] = job
    local second = call('ZRANGEBYLEX', lineOf(key), '(' .. member, '+', 'LIMIT', 0, 1)[1]
    watch(list, second and idOf(second), tonumber(ARGV[4]))
  else
    watch(list, job, tonumber(ARGV[4]))
  end
end
return { wake, list }
`);

/**
 * A run has deferred its job. ARGV: base, id, run, the delay that it was deferred for, or nothing to look
 * again.
 * Answers the jobs of its lines that may start, if the locks are free: each twice at most until it is
 * started, and none that has tried three times since a run was over. And 1 if a job is first in a line
 * that was only seen: it may never ask itself, and then nobody tells when it is gone.
 */
export const PARK = script(/* lua */ `
local entry, wake, unsure = entryOf(id), {}, 0
if not entry or entry.run ~= run then return { wake, unsure } end
entry.state, entry.due = 'parked', ARGV[4] ~= '' and now + tonumber(ARGV[4]) or entry.due
save(id, entry)
for _, key in ipairs(entry.lines) do
  local job = head(key)
  local first = job and entryOf(job)
  if first and first.state == 'seen' then unsure = 1 end
  if mayStart(job, first) and (first.woken or 0) < 2 and (first.tries or 0) < 3 then
    first.woken = (first.woken or 0) + 1
    save(job, first)
    wake[#wake + 1] = job
  end
end
return { wake, unsure }
`);

/**
 * Looks after lines. ARGV: base, 'held' if jobs that run here hold the keys, '', the safety delay, and the
 * keys.
 * Answers the jobs whose delay is to be the safety delay, and the keys for which jobs still wait.
 */
export const TEND = script(/* lua */ `
local list, waiting = {}, {}
for i = 5, #ARGV do
  local key = ARGV[i]
  local job = head(key)
  call('PEXPIRE', lineOf(key), 86400000)
  if id == 'held' then watch(list, job, tonumber(ARGV[4])) end
  if job then waiting[#waiting + 1] = key end
end
call('PEXPIRE', jobs, 86400000)
return { list, waiting }
`);
