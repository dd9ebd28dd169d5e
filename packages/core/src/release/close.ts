import type { Context } from '../context.ts';

/** What is still to be released or cleaned up gets so many ms. */
const LAST_CALL = 1_000;

/** Closes a locker. Never rejects. */
export async function closeLocker(context: Context, drain: number): Promise<void> {
  const { pending } = context.queues;
  for (let { first } = pending; first !== undefined; first = pending.first) {
    first.close();
  }
  if (drain > 0 && context.held.size > 0) await drained(context, drain);
  context.releases.hurry();
  const leases = [...context.held.values()];
  const handles = new Set(leases.map((lease) => lease.handle));
  for (const lease of leases) lease.lose('closed');
  for (const handle of handles) {
    if (handle?.running === false) void handle.end();
  }
  await atMost(context, LAST_CALL, context.releases.settled());
  await atMost(context, LAST_CALL, context.stop());
}

/** Resolves when nothing is held any more, at the latest after `drain` ms. */
function drained(context: Context, drain: number): Promise<void> {
  const idle = new Promise<void>((resolve) => {
    context.held.onIdle = resolve;
  });
  return atMost(context, drain, idle);
}

async function atMost(context: Context, ms: number, work: Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => {
    const alarm = context.time.after(ms, resolve, true);
    const done = (): void => {
      context.time.cancel(alarm);
      resolve();
    };
    work.then(done, done);
  });
}
