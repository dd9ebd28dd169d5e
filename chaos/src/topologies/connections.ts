import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '@holdfast/test-servers';
import type { Random } from '../random.ts';
import type { Faults } from './topology.ts';

/** What goes wrong between clients and one server after the other, each behind a proxy. */
export function connectionFaults(proxies: readonly FaultProxy[], seeded: Random): Faults {
  const random = seeded.fork();
  const one = (): FaultProxy => random.pick(proxies);
  return {
    'all connections of a server are cut': () => one().cutAll(),
    'all connections are cut': () => {
      for (const proxy of proxies) proxy.cutAll();
    },
    'a request is cut off': () => one().cutNextRequest(),
    'a reply is cut off': () => one().cutNextReply({ after: Math.floor(random.between(0, 9)) }),
    'a reply is cut in the middle': () => one().truncateNextReply(3),
    'replies are delayed': async () => {
      const proxy = one();
      proxy.delayReplies(random.between(20, 700));
      await sleep(random.between(300, 1_200));
      proxy.heal();
    },
    'requests are delayed': async () => {
      const proxy = one();
      proxy.delayRequests(random.between(20, 700));
      await sleep(random.between(300, 1_200));
      proxy.heal();
    },
    'replies are lost': async () => {
      const proxy = one();
      proxy.dropReplies();
      await sleep(random.between(100, 900));
      proxy.heal();
      // On a stream nothing is lost but what comes before its end.
      proxy.cutAll();
    },
  };
}
