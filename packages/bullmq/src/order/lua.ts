/**
 * What a line is made of, per queue, all of it in the queue's hash slot:
 *
 * - `holdfast:jobs`, a hash: each job that waits or runs, by its id. `state` is `seen` (BullMQ has
 *   started it, and somebody else tells its keys), `start` (a run of it asks for its locks), `parked`
 *   (deferred, it may be woken) or `run` (it has them); `run` names the run that may change it; `member` is
 *   its place in the lines of the keys in `lines`; `due` is when BullMQ starts it by itself; `woken` counts
 *   the wake-ups since it was started, and `tries` how often it was its turn in vain, both since a run in
 *   its lines was over. `:seq` counts the jobs.
 * - `holdfast:line:<key>`, a sorted set: the jobs that wait for a key, in the order of their members, and
 *   before them `!<id>`, the job that runs.
 * - `holdfast:left`, a field of BullMQ's hash of a job: the start that has left its place, and that BullMQ is
 *   about to end.
 *
 * Who runs is a hint: the lock decides. Nothing of this outlives a day in which nobody asks.
 */
export const PRELUDE = /* lua */ `
local call = redis.call
local base, id, run = ARGV[1], ARGV[2], ARGV[3]
local jobs = base .. 'holdfast:jobs'
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function lineOf(key) return base .. 'holdfast:line:' .. key end

-- Members begin with 24 characters from the job's options and 12 of its number.
local function idOf(member) return string.sub(member, 37) end

local function entryOf(job)
  local entry = call('HGET', jobs, job)
  return entry and cjson.decode(entry)
end

local function save(job, entry)
  call('HSET', jobs, job, cjson.encode(entry))
  call('PEXPIRE', jobs, 86400000)
end

local function drop(job)
  local entry = entryOf(job)
  if not entry then return end
  for _, key in ipairs(entry.lines) do
    call('ZREM', lineOf(key), entry.member, '!' .. job)
  end
  call('HDEL', jobs, job)
  if call('HLEN', jobs) == 1 then call('HDEL', jobs, ':seq') end
end

local function hasLeft(job)
  local found = call('HMGET', base .. job, 'ats', 'holdfast:left')
  return found[2] and found[2] == (found[1] or '')
end

local function leaves(job)
  local name, start = unpack(call('HMGET', base .. job, 'name', 'ats'))
  if name then call('HSET', base .. job, 'holdfast:left', start or '') end
end

-- Removed, or finished without a run of ours, as jobs are that stalled too often; or only seen, and then
-- deferred, tried again or waiting for children without having asked.
local function isGone(job)
  local found = call('HMGET', base .. job, 'name', 'finishedOn')
  if not found[1] or found[2] then return true end
  local entry = entryOf(job)
  if not entry or entry.state ~= 'seen' then return false end
  return call('ZSCORE', base .. 'delayed', job) or call('ZSCORE', base .. 'waiting-children', job)
end

-- Whether BullMQ has started it, and no run of it is known to be under way: its worker is slow or dead, or
-- the job is not guarded.
local function isIdle(job, entry)
  if call('EXISTS', base .. job .. ':lock') == 1 then return entry.state == 'seen' end
  for _, active in ipairs(call('LRANGE', base .. 'active', 0, -1)) do
    if active == job then return true end
  end
  return false
end

-- Such a job keeps its place for a ttl, as the dead keep their locks.
local function isPassed(job)
  local entry = entryOf(job)
  if not entry then return true end
  local idle = isIdle(job, entry)
  if idle and entry.idle then return now - entry.idle > entry.ttl end
  if idle or entry.idle then
    entry.idle = idle and now or nil
    save(job, entry)
  end
  return false
end

local function head(key)
  local line, offset = lineOf(key), 0
  while true do
    local member = call('ZRANGEBYLEX', line, '[0', '+', 'LIMIT', offset, 1)[1]
    if not member then return nil end
    local job = idOf(member)
    if isGone(job) then
      drop(job)
      call('ZREM', line, member)
    elseif isPassed(job) then
      offset = offset + 1
    else
      return job, member
    end
  end
end

local function isTaken(key)
  local line = lineOf(key)
  for _, runner in ipairs(call('ZRANGEBYLEX', line, '-', '(0')) do
    local job = string.sub(runner, 2)
    if not isGone(job) then return true end
    drop(job)
    call('ZREM', line, runner)
  end
  return false
end

-- Whether it is the first in all of its lines.
local function isFirst(job, entry)
  for _, key in ipairs(entry.lines) do
    if head(key) ~= job then return false end
  end
  return true
end

local function mayStart(job, entry)
  if not entry or entry.state ~= 'parked' then return false end
  for _, key in ipairs(entry.lines) do
    if isTaken(key) then return false end
  end
  return isFirst(job, entry)
end

-- Adds to a list the jobs that BullMQ is to start no sooner and no later than after the safety delay.
local function watch(list, job, safety)
  local entry = job and entryOf(job)
  if not entry or entry.state ~= 'parked' then return end
  local left = (entry.due or 0) - now
  if left <= safety and left >= safety * 0.75 then return end
  entry.due = now + safety
  save(job, entry)
  list[#list + 1] = job
end
`;
