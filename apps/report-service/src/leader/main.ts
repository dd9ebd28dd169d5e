// A leader that is frozen for longer than its lease never acts beside its successor.
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ended, Instances, program, say } from '../instances.ts';
import type { Command, Told } from './instance.ts';
import { Ticks, type Tick } from './ticks.ts';

const NAMES = ['one', 'two', 'three'];

interface Heard extends Told {
  readonly name: string;
}

/** The next thing that an instance tells, of those that are looked for. */
function hear(
  instances: ReadonlyMap<string, ChildProcess>,
  wanted: (heard: Heard) => boolean,
): Promise<Heard> {
  return new Promise((resolve) => {
    const ends: (() => void)[] = [];
    for (const [name, child] of instances) {
      const listen = (message: unknown): void => {
        const heard = { ...(message as Told), name };
        if (!wanted(heard)) return;
        for (const end of ends) end();
        resolve(heard);
      };
      child.on('message', listen);
      ends.push(() => child.off('message', listen));
    }
  });
}

function tell(instance: ChildProcess, command: Command): void {
  instance.send(command);
}

/** Whether no leader has written after a later one. */
function inOrder(ticks: readonly Tick[]): boolean {
  return ticks.every(({ term }, index) => index === 0 || term >= (ticks[index - 1] as Tick).term);
}

async function main(instances: Instances, file: string): Promise<boolean> {
  const run = `report-service-${randomUUID()}`;
  const ticks = await Ticks.open(file);
  const all = new Map(NAMES.map((name) => [name, instances.start(run, name, file)]));
  await hear(all, ({ written }) => written === true);
  for (const instance of all.values()) tell(instance, 'dawdle');
  const { name, term } = await hear(all, ({ written }) => written === undefined);
  const frozen = all.get(name) as ChildProcess;
  frozen.kill('SIGSTOP');
  all.delete(name);
  say(`${name} leads with term ${term}, and is frozen between its check and its write`);

  const dawdler = await hear(all, ({ written }) => written === undefined);
  tell(all.get(dawdler.name) as ChildProcess, 'go on');
  const next = await hear(all, ({ written }) => written === true);
  say(`${next.name} leads with term ${next.term}, and writes`);

  all.set(name, frozen);
  const late = hear(all, ({ written, ...by }) => written !== undefined && by.name === name);
  tell(frozen, 'go on');
  frozen.kill('SIGCONT');
  const { written = false, leads = false } = await late;
  const verdict = leads ? 'still takes itself for the leader' : 'knows that it is not the leader';
  say(`${name} goes on: its write was ${written ? 'accepted' : 'refused'}, and it ${verdict}`);

  for (const instance of all.values()) tell(instance, 'end');
  await Promise.all([...all.values()].map(ended));
  const rows = await ticks.all();
  ticks.close();
  const terms = new Set(rows.map((row) => row.term));
  const order = inOrder(rows)
    ? 'each term after the one before'
    : 'one term among those of another';
  say(`${rows.length} ticks of ${terms.size} terms, ${order}`);
  const good = inOrder(rows) && next.term > term && !written && !leads;
  say(good ? '✔ no leader acted beside its successor' : '✘ not as it should be');
  return good;
}

await program(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-leader-'));
  const instances = new Instances(import.meta.url);
  try {
    return await main(instances, `file:${join(folder, 'ticks.db')}`);
  } finally {
    instances.end();
    await rm(folder, { recursive: true, force: true });
  }
});
