/** About jobs that BullMQ has started, and whose runs have not asked for their places yet. */
export const STARTED = /* lua */ `
local placeless

-- The jobs that the asking process has started and that have no place yet, the first first. It waits itself for
-- those before the one that asks.
local here = {}
for place, job in ipairs(cjson.decode(ARGV[2])) do here[job] = place end

local function isWaitedFor(job)
  return here[id] and here[job] and here[job] < here[id]
end

local function isExpected(name, names)
  if not name then return false end
  if not names[1] then return true end
  for _, one in ipairs(names) do
    if one == name then return true end
  end
  return false
end

-- Of some jobs, those without a place.
local function withoutPlace(list)
  local rest = {}
  for from = 1, #list, 1000 do
    local some = { unpack(list, from, math.min(from + 999, #list)) }
    for i, entry in ipairs(call('HMGET', jobs, unpack(some))) do
      if not entry then rest[#rest + 1] = some[i] end
    end
  end
  return rest
end

-- Those that have stalled, which BullMQ puts where it starts them next.
local function stalled()
  local list = {}
  for i = -1, -1000, -1 do
    local job = call('LINDEX', base .. 'wait', i)
    if not job then break end
    -- Before those that stalled there may be some that were woken.
    if call('HGET', base .. job, 'stc') then
      list[#list + 1] = job
    elseif call('HEXISTS', jobs, job) == 0 then
      break
    end
  end
  return list
end

-- What is known of started jobs without a place, or read now: 's' for those that have stalled or '-', and
-- their names; or nothing if nobody need wait for them. What was read of a start is not read again.
local function namesOf(list)
  local names, tokens, news = {}, {}, {}
  if #list == 0 then return names end
  for i, job in ipairs(list) do tokens[i] = base .. job .. ':lock' end
  tokens = call('MGET', unpack(tokens))
  for i, known in ipairs(call('HMGET', leftJobs, unpack(list))) do
    local job, token = list[i], tokens[i]
    if token and known and string.sub(known, 1, #token + 1) == token .. ' ' then
      names[job] = string.sub(known, #token + 2)
    else
      local read = call('HMGET', base .. job, 'name', 'ats', 'holdfast:left', 'stc')
      local isAwaited = read[1] and not (read[3] and read[3] == (read[2] or ''))
      names[job] = isAwaited and (read[4] and 's' or '-') .. read[1] or ''
      if token and read[1] then
        news[#news + 1] = job
        news[#news + 1] = token .. ' ' .. names[job]
      end
    end
  end
  if #news > 0 then
    if call('HLEN', leftJobs) > 4096 then call('DEL', leftJobs) end
    call('HSET', leftJobs, unpack(news))
    call('PEXPIRE', leftJobs, DAY)
  end
  return names
end

-- The started jobs without a place, the first first, and after each the lowest number from there on: a job
-- that was added before another one and is started after it may have stalled.
local function findPlaceless()
  if placeless then return end
  local list, lowest, isOdd = withoutPlace(started()), {}, false
  local least = math.huge
  for i = #list, 1, -1 do
    isOdd = isOdd or not isNumber(list[i])
    least = math.min(least, isNumber(list[i]) and tonumber(list[i]) or -1)
    lowest[i] = least
  end
  placeless = {
    isOdd = isOdd, jobs = list, lowest = lowest, first = 1, names = {}, stalled = withoutPlace(stalled()),
  }
end

-- It has asked in this very script, or nobody need wait for it.
local function isSettled(job)
  return entries[job] or placeless.names[job] == ''
end

-- Those that may be before this one: all that were started before it, all that stalled, and of those that
-- were started after it the ones that may have stalled.
local function suspects(all)
  findPlaceless()
  local list, found, own = placeless.jobs, {}, activeSet[id] or math.huge
  local function add(job)
    if job ~= id and not isSettled(job) and (all or not isWaitedFor(job)) then found[#found + 1] = job end
  end
  while list[placeless.first] and isSettled(list[placeless.first]) do
    placeless.first = placeless.first + 1
  end
  local i = placeless.first
  while list[i] and activeSet[list[i]] < own do
    add(list[i])
    i = i + 1
  end
  for _, job in ipairs(placeless.stalled) do add(job) end
  local number = isNumber(id) and tonumber(id) or math.huge
  while list[i] and placeless.lowest[i] < number do
    if not isNumber(list[i]) or tonumber(list[i]) < number then add(list[i]) end
    i = i + 1
  end
  return found
end

-- The jobs that were started before this one and have not asked yet, some of them. Of those that stalled
-- it cannot be told: BullMQ starts them again in no particular order.
local function pending(names, most, all)
  local found, list, unread = suspects(all), {}, {}
  if #found == 0 then return list end
  for _, job in ipairs(found) do
    if not placeless.names[job] and #unread < 1000 then unread[#unread + 1] = job end
  end
  for job, known in pairs(namesOf(unread)) do placeless.names[job] = known end
  local own = activeSet[id] or math.huge
  for _, job in ipairs(found) do
    local known = placeless.names[job] or ''
    local before = (activeSet[job] or 0) < own or string.sub(known, 1, 1) == 's'
    if before and known ~= '' and isExpected(string.sub(known, 2), names) then
      list[#list + 1] = job
      if #list == most then break end
    end
  end
  return list
end

-- Its number is from the order of the starts, and not of the asking. Ids of BullMQ's need none.
local function numberOf(job)
  if isNumber(job) then return tonumber(job) end
  local number = call('HGET', leftJobs, 'number:' .. job)
  if not number then return newSeq() end
  call('HDEL', leftJobs, 'number:' .. job)
  return tonumber(number)
end

local function numberEarlier(names)
  findPlaceless()
  if not placeless.isOdd then return end
  for _, job in ipairs(pending(names, 1000, true)) do
    if not isNumber(job) and call('HEXISTS', leftJobs, 'number:' .. job) == 0 then
      call('HSET', leftJobs, 'number:' .. job, newSeq())
      call('PEXPIRE', leftJobs, DAY)
    end
  end
end
`;
