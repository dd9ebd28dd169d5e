/** What dashboards show of a job that is parked, in place of the progress that it has not made yet. */
export const MARKS = /* lua */ `
local function isMark(progress)
  return progress and string.sub(progress, 1, 12) == '{"holdfast":'
end

local function mark(job, entry, ahead)
  local progress = call('HGET', base .. job, 'progress')
  if progress and progress ~= '0' and not isMark(progress) then return end
  local shown = string.format(
    '{"holdfast":"parked: waits for its key","since":%.0f,"ahead":%d}', entry.since, ahead)
  call('HSET', base .. job, 'progress', shown)
end

local function unmark(job)
  if isMark(call('HGET', base .. job, 'progress')) then call('HSET', base .. job, 'progress', 0) end
end
`;
