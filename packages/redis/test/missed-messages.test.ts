import type { StoreEvent } from '@holdfast/core';
import { useRedis } from '@holdfast/test-servers';
import type { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { ScriptCalls } from '../src/commands/script-calls.ts';
import { CatchUp } from '../src/messages/catch-up.ts';
import { Bench } from './kit.ts';

const server = useRedis();
const bench = new Bench(() => server.url);

function setUp(): { admin: Redis; missed: CatchUp; told: StoreEvent[] } {
  const admin = bench.client();
  const told: StoreEvent[] = [];
  const missed = new CatchUp(new ScriptCalls(admin), (event) => told.push(event));
  return { admin, missed, told };
}

/** Requests of one connection are answered in order. */
const answered = (admin: Redis): Promise<unknown> => admin.ping().then(() => admin.ping());

test('a reservation that was made before messages arrived is told', async () => {
  const { admin, missed, told } = setUp();
  await admin.set('{missed:a}', 'holdfast reserved p1/x');
  missed.wait({ member: 'p1/x', key: 'missed:a' }, false);
  expect(missed.recover()).toBe(true);
  await answered(admin);
  expect(told).toEqual([{ type: 'wake', key: 'missed:a' }]);
  // The message may come all the same, and is no news.
  expect(missed.isRepeatedWake({ member: 'p1/x', key: 'missed:a' })).toBe(true);
  expect(missed.isRepeatedWake({ member: 'p1/x', key: 'missed:a' })).toBe(false);
});

test('a message that comes together with the news that messages arrive is told once', async () => {
  const { admin, missed, told } = setUp();
  const registration = { member: 'p1/x', key: 'missed:b' };
  await admin.set('{missed:b}', 'holdfast reserved p1/x');
  missed.wait(registration, false);
  expect(missed.isRepeatedWake(registration)).toBe(false);
  missed.recover();
  await answered(admin);
  expect(told).toEqual([]);
});

test('a loss is told once, by message or by looking it up', async () => {
  const { admin, missed, told } = setUp();
  const grants = ['early', 'meanwhile', 'after', 'only'].map((id) => ({ id, key: `missed:${id}` }));
  const now = Date.now();
  for (const { id, key } of grants) {
    await admin.zadd(`{${key}}:queue`, now + 60_000, `forced ${id}`);
    missed.grant({ member: 'p1/x', key, id }, false);
  }
  expect(missed.isRepeatedLoss('missed:early', 'early')).toBe(false);
  missed.recover();
  expect(missed.isRepeatedLoss('missed:meanwhile', 'meanwhile')).toBe(false);
  await answered(admin);
  expect(missed.isRepeatedLoss('missed:after', 'after')).toBe(true);
  expect(told).toEqual(
    ['after', 'only'].map((id) => ({ type: 'lost', key: `missed:${id}`, id, reason: 'forced' })),
  );
});
