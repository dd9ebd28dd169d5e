import type { VirtualClock } from '@holdfast/testing';
import { describe, expect, test } from 'vitest';
import {
  combinations,
  forAll,
  processOf,
  QUICK,
  requestOf,
  same,
  SLOW,
  worldOf,
  type Mode,
  type Process,
  type World,
} from './quorum-simulation.ts';

// Every combination of what servers can do, on the real quorum and in virtual time. The ttl is 1 000 ms:
// a straggler has 100 ms, and where no majority answers without it 400 ms.

const STRAGGLER = 100;
const LIMIT = 400;

type Fate = 'granting' | 'taken' | 'failing' | 'losing' | 'hanging' | 'slow';

const FATES: readonly Fate[] = ['granting', 'taken', 'failing', 'hanging', 'slow'];
const MODES: Record<Fate, Mode> = {
  granting: 'up',
  taken: 'up',
  failing: 'failing',
  losing: 'losing',
  hanging: 'hanging',
  slow: 'slow',
};

const sleep = (clock: VirtualClock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.setTimeout(resolve, ms);
  });

async function worldWith(
  fates: readonly Fate[],
  clock: VirtualClock,
): Promise<{ world: World; process: Process }> {
  const world = worldOf(fates.length, clock);
  const process = processOf(world);
  for (const [index, fate] of fates.entries()) {
    const { store } = world.servers[index] as World['servers'][number];
    if (fate === 'taken') await store.acquire(requestOf('other', { ttl: 60_000 }));
    (process.nodes[index] as Process['nodes'][number]).mode = MODES[fate];
  }
  return { world, process };
}

const counted = (fates: readonly Fate[], ...wanted: Fate[]): number =>
  fates.filter((fate) => wanted.includes(fate)).length;

/** What should be answered, and when, from the rules alone. */
function expected(fates: readonly Fate[]): [outcome: string, at: number] {
  const majority = Math.floor(fates.length / 2) + 1;
  const granting = counted(fates, 'granting');
  const taken = counted(fates, 'taken');
  const slow = counted(fates, 'slow');
  const hanging = counted(fates, 'hanging');
  const failing = counted(fates, 'failing', 'losing');
  const quick = granting + taken;
  // At once: nothing that is still to come matters.
  if (granting >= majority) return ['granted', QUICK];
  if (failing > fates.length - majority) return ['failed', QUICK];
  if (granting + slow + hanging < majority && quick >= majority) return ['busy', QUICK];
  // A majority has answered, and is not agreed: nobody waits for the slow ones for long.
  if (quick >= majority) return ['busy', STRAGGLER];
  // There is no majority without them.
  if (granting + slow >= majority) return ['granted', SLOW];
  if (slow > 0 && granting + slow + hanging < majority && quick + slow >= majority) {
    return ['busy', SLOW];
  }
  return quick + slow >= majority ? ['busy', LIMIT] : ['failed', LIMIT];
}

const outcomeOf = (reply: Promise<{ granted: boolean }>): Promise<string> =>
  reply.then(
    ({ granted }) => (granted ? 'granted' : 'busy'),
    () => 'failed',
  );

describe.each([
  [3, [...FATES, 'losing'] as const],
  [5, FATES],
  [4, FATES],
  [2, FATES],
  [1, FATES],
] as const)('of %i servers, each of all fates', (size, fates) => {
  const all = combinations<Fate>(fates, size);

  test('an acquisition is decided as it should, and when that is certain', async () => {
    const outcomes = new Set<string>();
    await forAll(
      all,
      async (fate, clock) => {
        const { process } = await worldWith(fate, clock);
        const from = clock.now();
        const outcome = await outcomeOf(process.store.acquire(requestOf('mine')));
        const result = [outcome, clock.now() - from];
        same(result, expected(fate), fate);
        outcomes.add(outcome);
      },
      5_000,
    );
    expect(outcomes).toEqual(new Set(['granted', 'busy', 'failed']));
  });

  test('nothing is left behind, also on servers that come back later', async () => {
    let checked = 0;
    await forAll(
      all,
      async (fate, clock) => {
        const { world, process } = await worldWith(fate, clock);
        // Long enough that no lease ends by itself.
        const request = requestOf('mine', { ttl: 30_000 });
        const outcome = await outcomeOf(process.store.acquire(request));
        if (outcome === 'granted') await process.store.release({ key: 'key', id: 'mine' });
        await sleep(clock, 100);
        for (const node of process.nodes) node.mode = 'up';
        // The longest rest between two attempts in the background.
        await sleep(clock, 1_500);
        for (const server of world.servers) {
          same((await server.holder('key')) === 'mine', false, fate);
        }
        same(process.store.acquisitions.size, 0, fate);
        checked += 1;
      },
      60_000,
    );
    expect(checked).toBe(fates.length ** size);
  });
});

describe.each([3, 5])('of %i servers, each in all states', (size) => {
  type State = 'keeping' | 'gone' | 'stolen' | 'failing' | 'hanging' | 'slow';
  const states: readonly State[] =
    size === 3
      ? ['keeping', 'gone', 'stolen', 'failing', 'hanging', 'slow']
      : ['keeping', 'gone', 'failing', 'hanging', 'slow'];
  const majority = (size + 1) / 2;

  const ruin = async ({ world, process }: { world: World; process: Process }, all: State[]) => {
    for (const [index, state] of all.entries()) {
      const { store } = world.servers[index] as World['servers'][number];
      const node = process.nodes[index] as Process['nodes'][number];
      if (state === 'gone' || state === 'stolen') await store.release({ key: 'key', id: 'mine' });
      if (state === 'stolen') await store.acquire(requestOf('thief', { ttl: 60_000 }));
      if (state === 'failing' || state === 'hanging' || state === 'slow') node.mode = state;
    }
  };

  const held = async (
    clock: VirtualClock,
    states_: State[],
  ): Promise<{ world: World; process: Process }> => {
    const world = worldOf(size, clock);
    const process = processOf(world);
    await process.store.acquire(requestOf('mine'));
    await sleep(clock, 10);
    await ruin({ world, process }, states_);
    return { world, process };
  };

  const count = (all: State[], ...wanted: State[]): number =>
    all.filter((state) => wanted.includes(state)).length;

  test('a renewal needs a majority, and a loss the certainty that there is none', async () => {
    const replies = new Set<string>();
    await forAll(
      combinations(states, size),
      async (all, clock) => {
        const { process } = await held(clock, all);
        const renewal = { key: 'key', id: 'mine', owner: 'mine', ttl: 1_000 };
        const [reply] = await process.store.renew([renewal]);
        const kept = count(all, 'keeping', 'slow');
        const gone = count(all, 'gone');
        const stolen = count(all, 'stolen');
        // A straggler is waited for only while no majority has answered.
        const answered = count(all, 'keeping', 'gone', 'stolen') >= majority;
        const inTime = answered ? count(all, 'keeping') : kept;
        const said = reply instanceof Error ? 'unknown' : (reply ?? 'nothing');
        replies.add(said);
        if (inTime >= majority) same(said, 'renewed', all);
        else if (gone + stolen < majority) same(said, 'unknown', all);
        else if (stolen === 0) same(said, 'evicted', all);
        else if (gone === 0) same(said, 'stolen', all);
        else same(['stolen', 'evicted'].includes(said), true, all);
      },
      10_000,
    );
    expect([...replies]).toEqual(expect.arrayContaining(['renewed', 'unknown', 'evicted']));
  });

  test('lets servers that have forgotten take part again with a majority, and none without', async () => {
    let [renewed, lost] = [0, 0];
    await forAll(
      combinations(states, size),
      async (all, clock) => {
        const { world, process } = await held(clock, all);
        const renewal = { key: 'key', id: 'mine', owner: 'mine', ttl: 1_000 };
        const [reply] = await process.store.renew([renewal]);
        for (const node of process.nodes) node.mode = 'up';
        await sleep(clock, SLOW);
        const [again] = await process.store.renew([renewal]);
        await sleep(clock, 100);
        const holders = await Promise.all(world.servers.map((server) => server.holder('key')));
        const mine = holders.filter((holder) => holder === 'mine').length;
        if (reply === 'renewed') {
          same([again, mine], ['renewed', size - count(all, 'stolen')], all);
          renewed += 1;
        } else if (count(all, 'gone', 'stolen') >= majority) {
          same([again === 'renewed', mine], [false, 0], all);
          lost += 1;
        }
      },
      10_000,
    );
    expect([renewed > 0, lost > 0]).toEqual([true, true]);
  });
});
