import { leadsByWhatItWasTold } from '../permit-mutants.ts';
import type { StackMutant } from './mutants.ts';

/** A writer is granted what readers hold. */
const BESIDE_READERS: StackMutant['replace'] = [
  [
    `local behind = turn and turn ~= client`,
    `if held.kind == 'several' then held.last = 0 return takeTurn() end
      local behind = turn and turn ~= client`,
  ],
];

/** Of locks that several hold, and of elections: put into the scripts of permits, and into what they share. */
export const stackPermitMutants: readonly StackMutant[] = [
  {
    name: 'every permit fits',
    topology: 'single',
    caughtBy: ['weight'],
    replace: [['held.used - spare + weight <= limit', 'true']],
  },
  {
    name: 'a writer is let in beside readers, who are told by nothing else',
    topology: 'single',
    caughtBy: ['readers', 'kept'],
    blind: ['belief'],
    replace: BESIDE_READERS,
  },
  {
    name: 'a writer takes the place of readers',
    topology: 'failover',
    caughtBy: ['belief', 'kept'],
    replace: BESIDE_READERS,
  },
  {
    name: 'what a permit weighed is not given back',
    topology: 'cluster',
    caughtBy: ['counted'],
    replace: [['held.used = held.used - weight', '']],
  },
  {
    name: 'a permit that is released stays granted',
    topology: 'single',
    caughtBy: ['orphan', 'liveness'],
    replace: [
      [
        '  else\n    drop(held, id)\n  end\nend\nsettle(held, 1, ARGV[3]',
        '  end\nend\nsettle(held, 1, ARGV[3]',
      ],
    ],
  },
  {
    name: 'a permit that is to be kept busy is given to others',
    topology: 'single',
    caughtBy: ['kept'],
    replace: [['if keepFor > 0 then', 'if keepFor > 1e9 then']],
  },
  {
    name: 'a permit that is renewed ends when it would have ended',
    topology: 'single',
    caughtBy: ['belief'],
    replace: [["call('ZADD', leases, now + ttl, id)\n  if now", 'if now']],
  },
  {
    name: 'a script says that it has renewed a permit that is gone',
    topology: 'single',
    caughtBy: ['told', 'belief'],
    replace: [
      [
        `if state ~= 'held' or ends <= now then return '0' end`,
        `if state ~= 'held' or ends <= now then return '1' end`,
      ],
    ],
  },
  {
    name: 'permits of the same moment have the same token',
    topology: 'single',
    caughtBy: ['tokens-grow', 'token-of-grant'],
    replace: [['local token = math.max(micros, state.last + 1)', 'local token = state.last']],
  },
  {
    name: 'an owner who comes again leaves its earlier permit where it is',
    topology: 'single',
    caughtBy: ['weight'],
    replace: [["'superseded')\n    drop(held, own)", "'superseded')"]],
  },
  {
    name: 'an owner takes over what others hold beside it',
    topology: 'single',
    caughtBy: ['belief', 'kept'],
    replace: [[`local isAll = call('ZCARD', leases) == 1`, 'local isAll = true']],
  },
  {
    name: 'room that is kept for a process that has crashed is kept for long',
    topology: 'single',
    caughtBy: ['prompt'],
    replace: [[`put(held, '=' .. client, now + 500`, `put(held, '=' .. client, now + 15000`]],
  },
  {
    name: 'room beside other permits is given to nobody who waits',
    topology: 'single',
    caughtBy: ['prompt'],
    replace: [[`if call('ZCARD', leases) > 0 then admit(held, asking) end`, '']],
  },
  {
    name: 'what is known of holders stays for ever',
    topology: 'single',
    caughtBy: ['server-leftovers'],
    replace: [['  keep(holders, stays)\n', '']],
  },
  {
    name: 'a leader believes what it was told last',
    topology: 'single',
    caughtBy: ['leadership'],
    install: leadsByWhatItWasTold,
  },
];
