import { scriptOf } from '../client.ts';
import { JOIN } from './join.ts';
import { LEAVE } from './leave.ts';
import { PARK } from './park.ts';
import { MARKS } from './marks.ts';
import { MOVES } from './moves.ts';
import { PRELUDE } from './prelude.ts';
import { REFRESH, SETTLE } from './refresh.ts';
import { SHOW } from './show.ts';
import { STARTED } from './started.ts';
import { TOOK } from './took.ts';
import { PARK_WAITING, PEEK } from './waiting.ts';

const HANDLERS = [JOIN, TOOK, PARK, LEAVE, REFRESH, SETTLE, PEEK, PARK_WAITING, SHOW];

const ANSWER_ALL = /* lua */ `
local replies = {}
for i = 3, #ARGV do
  local request = cjson.decode(ARGV[i])
  local name = table.remove(request, 1)
  id, run, asking = request[1], request[2], nil
  replies[i - 2] = handlers[name](request) or 0
end
return replies
`;

/** The one script of the order: whatever jobs ask at a time is asked in one call. */
export const PROGRAM = scriptOf(
  [
    PRELUDE,
    MOVES,
    MARKS,
    STARTED,
    ...HANDLERS.map((handler) => `do\n${handler}\nend\n`),
    ANSWER_ALL,
  ].join(''),
);
