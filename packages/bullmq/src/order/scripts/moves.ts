/** Moves jobs between BullMQ's own lists, as BullMQ does it. */
export const MOVES = /* lua */ `
local function tellEvent(job, event, ...)
  call('XADD', base .. 'events', 'MAXLEN', '~', 10000, '*', 'event', event, 'jobId', job, ...)
end

-- BullMQ starts it when it is due, unless somebody wakes it before.
local function delayUntil(job, due)
  call('ZADD', delayed, string.format('%.0f', math.floor(due) * 4096), job)
  call('HSET', base .. job, 'delay', string.format('%.0f', math.max(0, due - now)))
  local first = call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  call('ZADD', base .. 'marker', string.format('%.0f', math.floor(first[2] / 4096)), '1')
end

-- A parked job is away for so many ms, but not beyond its deadline.
local function park(job, entry, ms)
  delayUntil(job, math.max(now, math.min(now + ms, entry.deadline or math.huge)))
end

-- The job is the next that its queue starts: of all without a priority, or of all of its priority.
local function wake(job)
  if call('ZREM', delayed, job) == 0 then return end
  local paused, concurrency = unpack(call('HMGET', base .. 'meta', 'paused', 'concurrency'))
  if paused then
    -- BullMQ moves it itself when the queue resumes.
    delayUntil(job, now)
    return
  end
  local priority = tonumber(call('HGET', base .. job, 'priority')) or 0
  if priority == 0 then
    call('RPUSH', base .. 'wait', job)
  else
    call('ZADD', base .. 'prioritized', string.format('%.0f', priority * 4294967296), job)
  end
  if not (concurrency and call('LLEN', activeJobs) >= tonumber(concurrency)) then
    call('ZADD', base .. 'marker', 0, '0')
  end
  tellEvent(job, 'waiting', 'prev', 'delayed')
  call('HSET', base .. job, 'delay', 0)
end

-- The first job of a line that is parked: it, or the one behind a job that is woken or asks.
local function firstParked(key)
  local job, member = head(key)
  if not job or isParked(job, entryOf(job)) then return job end
  local second = call('ZRANGEBYLEX', lineOf(key), '(' .. member, '+', 'LIMIT', 0, 1)[1]
  job = second and idOf(second)
  return job and isParked(job, entryOf(job)) and job or nil
end

local function msLeft(job)
  return call('ZSCORE', delayed, job) / 4096 - now
end

-- If all who could wake it die, it starts by itself within its safety delay.
local function protect(key)
  local job = firstParked(key)
  if job and msLeft(job) > entryOf(job).safety then park(job, entryOf(job), entryOf(job).safety) end
end

-- A run is over, or has given up its place: the next job of each of its lines starts.
local function wakeNext(lines)
  for _, key in ipairs(lines) do
    local job = head(key)
    local entry = job and entryOf(job)
    if entry and entry.tries then
      entry.tries = nil
      save(job, entry)
    end
    if isParked(job, entry) and not isAnyTaken(entry) and isFirst(job, entry) then wake(job) end
    protect(key)
  end
end
`;
