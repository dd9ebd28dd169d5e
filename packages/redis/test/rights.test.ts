import type { Locker } from '@holdfast/core';
import { describe, expect } from 'vitest';
import { documentedRights } from './documented-rights.ts';
import { test, until, waiting, type Site } from './site.ts';

async function restricted(site: Site): Promise<() => Locker> {
  const rights = await documentedRights();
  await site.admin.acl('SETUSER', 'locks', 'on', '>secret', 'resetchannels', ...rights);
  return () => site.locker({}, site.client({ username: 'locks', password: 'secret' }));
}

describe.concurrent('a user with no more rights than the README asks for', () => {
  test('locks, waits, is woken, renews, inspects and releases', async ({ site }) => {
    const make = await restricted(site);
    const [holder, other] = [make(), make()];
    const warnings: string[] = [];
    for (const locker of [holder, other]) {
      locker.on('warning', ({ code }) => warnings.push(code));
    }
    for (let round = 0; round < 3; round++) {
      const lock = await holder.lock('key', { owner: 'job' });
      const { taken } = await waiting(other, () => other.lock('key'));
      await lock.extend();
      expect(await holder.inspect('key')).toMatchObject({ owner: 'job' });
      expect(await lock.release()).toBe(true);
      expect(await (await taken).release()).toBe(true);
    }
    const kept = await holder.lock('kept', { holdAtLeast: 100 });
    expect(await kept.release()).toBe(true);
    expect(warnings).toEqual([]);
  });

  test('hears of losses', async ({ site }) => {
    const make = await restricted(site);
    const [forced, superseded] = [
      await make().lock('forced', { ttl: 60_000 }),
      await make().lock('taken over', { owner: 'job', ttl: 60_000 }),
    ];
    const other = make();
    expect(await other.forceRelease('forced')).toBe(true);
    await other.lock('taken over', { owner: 'job' });
    await until('both are told', () => forced.state === 'lost' && superseded.state === 'lost');
    expect(forced.signal.reason).toMatchObject({ reason: 'forced' });
    expect(superseded.signal.reason).toMatchObject({ reason: 'superseded' });
  });
});
