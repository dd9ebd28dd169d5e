import type { Engine } from '../engine.ts';

/** What is still to be released or cleaned up gets so many ms. */
const LAST_CALL = 1_000;

/** Closes a locker: contract section 7. Never rejects. */
export async function closeEngine(engine: Engine, drain: number): Promise<void> {
  for (const waiter of engine.admission.waiters()) waiter.close();
  if (drain > 0 && engine.leases.size > 0) await drained(engine, drain);
  engine.cleanup.hurry();
  const leases = [...engine.leases.values()];
  const handles = new Set(leases.map((lease) => lease.handle));
  for (const lease of leases) lease.lose('closed');
  for (const handle of handles) {
    if (handle?.running === false) void handle.end();
  }
  await atMost(engine, LAST_CALL, engine.cleanup.settled());
  await atMost(engine, LAST_CALL, engine.stop());
}

/** Resolves when nothing is held any more, at the latest after `drain` ms. */
function drained(engine: Engine, drain: number): Promise<void> {
  const idle = new Promise<void>((resolve) => {
    engine.onIdle = resolve;
  });
  return atMost(engine, drain, idle);
}

async function atMost(engine: Engine, ms: number, work: Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => {
    const alarm = engine.time.after(ms, resolve, true);
    const done = (): void => {
      engine.time.cancel(alarm);
      resolve();
    };
    work.then(done, done);
  });
}
