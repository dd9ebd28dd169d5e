import { setTimeout as sleep } from 'node:timers/promises';
import type { Site } from './site.ts';

const between = (least: number, most: number): number => least + Math.random() * (most - least);

/** What is done to the processes, to the server and to what is between them. */
export const faults: Record<string, (site: Site) => Promise<unknown>> = {
  'a process is killed': (site) => site.replace(),
  'a process is frozen': (site) => site.freezeWorker(between(300, 4_000)),
  'the server forgets its scripts': ({ admin }) => admin.script('FLUSH'),
  'all connections are cut': async ({ proxy }) => proxy.cutAll(),
  'a request is cut off': async ({ proxy }) => proxy.cutNextRequest(),
  'a reply is cut off': async ({ proxy }) =>
    proxy.cutNextReply({ after: Math.floor(between(0, 9)) }),
  'a reply is cut in the middle': async ({ proxy }) => proxy.truncateNextReply(3),
  'replies are delayed': async ({ proxy }) => {
    proxy.delayReplies(between(20, 700));
    await sleep(between(300, 1_200));
    proxy.heal();
  },
  'replies are lost': async ({ proxy }) => {
    proxy.dropReplies();
    await sleep(between(100, 900));
    proxy.heal();
    // On a stream nothing is lost but what comes before its end.
    proxy.cutAll();
  },
  'the server is frozen': async ({ server }) => {
    server.freeze();
    await sleep(between(100, 1_500));
    server.thaw();
  },
  'the server is killed': async (site) => {
    await site.server.kill();
    await sleep(between(0, 800));
    await site.restart();
  },
  'messages are lost': ({ admin }) => admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'),
};
