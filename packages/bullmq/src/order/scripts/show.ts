import type { OrderClient } from '../client.ts';
import type { LineJob } from '../../types.ts';

/**
 * Who runs and who waits. Changes nothing.
 *
 * Request: '', '', the key, and how many of those who wait to tell.
 * Answers those who run and those who wait, each as id, name and since when; and how many wait.
 */
export const SHOW = /* lua */ `
local function tell(list, job, since)
  local name = call('HGET', base .. job, 'name')
  if name then list[#list + 1] = { job, name, string.format('%.0f', since or now) } end
end

function handlers.show(request)
  local line = lineOf(request[3])
  local running, waiting = {}, {}
  for _, runner in ipairs(call('ZRANGEBYLEX', line, '-', '(0')) do
    local job = string.sub(runner, 2)
    local entry = entryOf(job)
    tell(running, job, entry and entry.began)
  end
  for _, member in ipairs(call('ZRANGEBYLEX', line, '[0', '+', 'LIMIT', 0, request[4])) do
    local job = idOf(member)
    local entry = entryOf(job)
    tell(waiting, job, entry and entry.since)
  end
  return { running, waiting, call('ZLEXCOUNT', line, '[0', '+') }
end
`;

type Row = [id: string, name: string, since: string];

export async function show(
  client: OrderClient,
  key: string,
  limit: number,
): Promise<{ running: LineJob[]; waiting: LineJob[]; total: number }> {
  const reply = await client.ask(['show', '', '', key, limit]);
  const [running, waiting, total] = reply as [Row[], Row[], number];
  const jobOf = ([id, name, since]: Row): LineJob => ({ id, name, since: Number(since) });
  return { running: running.map(jobOf), waiting: waiting.map(jobOf), total };
}
