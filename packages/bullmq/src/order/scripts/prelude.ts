/**
 * What a line is made of, per queue, all of it in the queue's hash slot:
 *
 * - `holdfast:jobs`, a hash: each job that waits or runs, by its id; `:seq` counts them. `state` of a job
 *   is `seen` (BullMQ has started it, and somebody else registered it), `asking` (a run of it asks for its
 *   locks), `parked` (deferred; it may be woken), `running` (it has its locks) or `held` (it failed, and its
 *   line waits until it is tried again). `run` names the run that may change it; `member` is its place in
 *   the lines of the keys in `lines`; `since` is when it was registered, `asked` when it last asked,
 *   `start` the how many-th start of the job that was, `began` when it got its locks;
 *   `deadline` is when it must start in any case; `idle`, since when no run of it is known to be under way;
 *   `unsure`, that jobs that were started before it may not have asked yet;
 *   `tries`, how often it asked since a run before it was over; `saw` tells that one was before it then.
 * - `holdfast:order:line:<key>`, a sorted set: the jobs that wait for a key, in the order of their members,
 *   and before them `!<id>`, the job that runs. No id of a job has four parts, as these names have.
 * - `holdfast:left`, a hash: what is known of jobs that BullMQ has started and that have no place: the token
 *   of the start, and the name of the job, or nothing if nobody need wait for it; and numbers for them. Only
 *   to save reading the job again; it goes with the last job in `holdfast:jobs`.
 * - `holdfast:left`, a field of BullMQ's hash of a job: the start that nobody need wait for.
 *
 * Who runs is a hint: the lock decides. Nothing of this outlives a day in which nobody asks.
 *
 * ARGV: what all keys begin with; the jobs that the asking process has started and that have no place yet;
 * and requests, each a JSON list: the name of a handler, a job, a run, and what else the handler takes. Each
 * is answered before the next one is looked at.
 */
export const PRELUDE = /* lua */ `
local call = redis.call
local base = ARGV[1]
-- The job that a request is about, and the run that asks.
local id, run
local jobs, leftJobs = base .. 'holdfast:jobs', base .. 'holdfast:left'
local delayed, activeJobs = base .. 'delayed', base .. 'active'
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local DAY, HOUR = 86400000, 3600000
-- Locks may look free that nobody gets, as those that are reserved for whoever waits for them.
local MOST_TRIES = 3

-- What this script has read: a job or a line is looked at once, however many keys lead to it.
local entries, goneJobs, passedJobs, heads = {}, {}, {}, {}
local activeList, activeSet, isKept
-- The job whose run asks: there is no doubt about it.
local asking
-- What answers requests, by name.
local handlers = {}

local function lineOf(key) return base .. 'holdfast:order:line:' .. key end

-- Members begin with 24 characters from the job's options and 12 of its number.
local function idOf(member) return string.sub(member, 37) end

-- BullMQ's own ids are numbers in the order of adding.
local function isNumber(job) return string.match(job, '^%d+$') and #job <= 12 end

local function memberOf(job, sort, seq)
  -- Of jobs that were added within a ms.
  if isNumber(job) then seq = tonumber(job) end
  if string.sub(sort, 8, 8) == '0' then seq = 999999999999 - seq end
  return sort .. string.format('%012.0f', seq) .. job
end

local function entryOf(job)
  if entries[job] == nil then
    local entry = call('HGET', jobs, job)
    entries[job] = entry and cjson.decode(entry) or false
  end
  return entries[job]
end

local function save(job, entry)
  entries[job] = entry
  call('HSET', jobs, job, cjson.encode(entry))
  if not isKept then isKept = call('PEXPIRE', jobs, DAY) end
end

local function newSeq()
  return call('HINCRBY', jobs, ':seq', 1)
end

local function queueUp(job, entry)
  goneJobs[job], passedJobs[job] = nil, nil
  for _, key in ipairs(entry.lines) do
    call('ZADD', lineOf(key), 0, entry.member)
    call('PEXPIRE', lineOf(key), DAY)
    heads[key] = nil
  end
end

local function leaveLines(job, entry)
  for _, key in ipairs(entry.lines) do
    call('ZREM', lineOf(key), entry.member, '!' .. job)
    heads[key] = nil
  end
end

local function drop(job)
  local entry = entryOf(job)
  if not entry then return end
  leaveLines(job, entry)
  entries[job] = false
  call('HDEL', jobs, job)
  local rest = call('HLEN', jobs)
  if rest == 0 or (rest == 1 and call('HEXISTS', jobs, ':seq') == 1) then 
    call('DEL', jobs, leftJobs)
    isKept = nil
  end
end

-- Nobody need wait for this start of a job any more.
local function leaves(job)
  local name, start = unpack(call('HMGET', base .. job, 'name', 'ats'))
  if name then
    call('HSET', base .. job, 'holdfast:left', start or '')
    call('HDEL', leftJobs, job)
  end
end

local function hasLeft(job)
  local found = call('HMGET', base .. job, 'ats', 'holdfast:left')
  return found[2] and found[2] == (found[1] or '')
end

-- Deferred by a guard, and to be started when it is its turn.
local function isParked(job, entry)
  return entry and entry.state ~= 'held' and entry.state ~= 'seen' and call('ZSCORE', delayed, job)
end

-- Removed, or finished without a run of ours, as jobs are that stalled too often; or only seen, and then
-- deferred, tried again or waiting for children without having asked.
local function isGone(job)
  if goneJobs[job] == nil then
    local found = call('HMGET', base .. job, 'name', 'finishedOn')
    local entry = entryOf(job)
    goneJobs[job] = not found[1] or (found[2] and true) or false
    if not goneJobs[job] and entry and entry.state == 'seen' then
      goneJobs[job] = (call('ZSCORE', delayed, job) or call('ZSCORE', base .. 'waiting-children', job))
        and true or false
    end
  end
  return goneJobs[job]
end

-- The jobs that BullMQ has started, the first first; it puts what it starts at the left.
local function started()
  if not activeList then
    local found = call('LRANGE', activeJobs, 0, -1)
    activeList, activeSet = {}, {}
    for i = #found, 1, -1 do
      activeList[#activeList + 1] = found[i]
      activeSet[found[i]] = #activeList
    end
  end
  return activeList
end

local function isActive(job)
  started()
  return activeSet[job] ~= nil
end

-- Whether BullMQ has started it again since it asked: of that run nothing is known yet.
local function isStartedAgain(job, entry)
  return entry.start ~= (call('HGET', base .. job, 'ats') or '')
end

-- Whether BullMQ has started it, and no run of it is known to be under way: its worker is slow or dead, or
-- the job is not guarded.
local function isIdle(job, entry)
  if entry.state == 'held' or call('ZSCORE', delayed, job) then return false end
  if call('EXISTS', base .. job .. ':lock') == 0 then return isActive(job) end
  return entry.state == 'seen' or (entry.state == 'asking' and isStartedAgain(job, entry))
end

-- Its worker may have died before it told that it has its locks, and BullMQ has not found out. If it lives,
-- whoever is next finds them taken.
local function asksTooLong(job, entry)
  return entry.state == 'asking' and now - entry.asked > entry.ttl
    and call('EXISTS', base .. job .. ':lock') == 1 and not isStartedAgain(job, entry)
end

-- Such a job keeps its place for a ttl, as the dead keep their locks.
local function isPassed(job)
  if passedJobs[job] == nil then
    local entry = entryOf(job)
    local idle = entry and isIdle(job, entry)
    if not entry or asksTooLong(job, entry) then
      passedJobs[job] = true
    elseif idle and entry.idle then
      passedJobs[job] = now - entry.idle > entry.ttl
    else
      passedJobs[job] = false
      if idle or entry.idle then
        entry.idle = idle and now or nil
        save(job, entry)
      end
    end
  end
  return passedJobs[job]
end

-- The first job of a line, and its member.
local function head(key)
  if heads[key] ~= nil then return unpack(heads[key]) end
  local line, offset = lineOf(key), 0
  while true do
    local member = call('ZRANGEBYLEX', line, '[0', '+', 'LIMIT', offset, 1)[1]
    if not member then
      heads[key] = {}
      return nil
    end
    local job = idOf(member)
    if job == asking then
      heads[key] = { job, member }
      return job, member
    elseif isGone(job) then
      drop(job)
      call('ZREM', line, member)
    elseif isPassed(job) then
      offset = offset + 1
    else
      heads[key] = { job, member }
      return job, member
    end
  end
end

-- Whether a job runs that has this key.
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

local function isAnyTaken(entry)
  for _, key in ipairs(entry.lines) do
    if isTaken(key) then return true end
  end
  return false
end

-- Whether a job that has one of its keys runs still: BullMQ's own lock of that job tells whether its worker lives.
local function isAnyRunning(entry)
  for _, key in ipairs(entry.lines) do
    for _, runner in ipairs(call('ZRANGEBYLEX', lineOf(key), '-', '(0')) do
      local job = string.sub(runner, 2)
      local other = entryOf(job)
      if other and other.began and call('EXISTS', base .. job .. ':lock') == 1 then return true end
    end
  end
  return false
end

-- Whether it is the first in all of its lines, and nobody runs that has its keys, as most often: then
-- nothing else need be looked at.
local function isAlone(entry)
  for _, key in ipairs(entry.lines) do
    if call('ZRANGE', lineOf(key), 0, 0)[1] ~= entry.member then return false end
  end
  return true
end

-- Whether it is the first in all of its lines.
local function isFirst(job, entry)
  for _, key in ipairs(entry.lines) do
    if head(key) ~= job then return false end
  end
  return true
end
`;
