// The application as it is started, asked over HTTP, by turns on either instance.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { useRedis } from '@holdfast/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, StaleTokenError } from '../src/database.ts';
import { ask, databaseFolder, start, stop, useApplication, type Running } from './running.ts';

useApplication();

function suite(name: string, startAll: () => Promise<readonly Running[]>): void {
  describe(name, () => {
    let running: readonly Running[] = [];
    let one = '';
    let two = '';
    beforeAll(async () => {
      running = await startAll();
      [one = '', two = ''] = running.flatMap(({ urls }) => urls);
    });
    afterAll(async () => {
      await Promise.all(running.map(stop));
    });

    const place = async (): Promise<string> => {
      const { status, json } = await ask(`${one}/orders`, 'POST', { item: 'tea', amount: 7 });
      expect(status).toBe(201);
      return `/orders/${json['id'] as string}`;
    };

    test('an order is placed, paid and shipped', async () => {
      const order = await place();
      expect((await ask(two + order + '/ship')).status).toBe(409);
      expect((await ask(one + order + '/pay')).json).toMatchObject({ status: 'paid' });
      expect((await ask(two + order + '/ship')).json).toMatchObject({ status: 'shipped' });
      const { json } = await ask(one + order, 'GET');
      expect(json).toMatchObject({ status: 'shipped', charges: 1 });
      expect(Number((json['parcel'] as string).slice(2))).toBeGreaterThan(
        Number((json['receipt'] as string).slice(2)),
      );
    });

    test('paying twice at once charges once, and both get the receipt', async () => {
      const order = await place();
      const replies = await Promise.all(
        [one, two, one, two].map((instance) => ask(`${instance}${order}/pay`)),
      );
      expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      expect(new Set(replies.map(({ json }) => json['receipt'])).size).toBe(1);
      expect((await ask(two + order, 'GET')).json).toMatchObject({ status: 'paid', charges: 1 });
    });

    test('who ships at the same time is told to come back', async () => {
      const order = await place();
      await ask(`${one}${order}/pay`);
      const replies = await Promise.all([ask(`${one}${order}/ship`), ask(`${two}${order}/ship`)]);
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200, 423]));
      expect(replies.find(({ status }) => status === 423)?.retryAfter).toBe('1');
    });

    test('what cannot be is refused', async () => {
      expect((await ask(`${one}/orders`, 'POST', { item: 'tea' })).status).toBe(400);
      expect((await ask(`${one}/orders/none/pay`)).status).toBe(404);
      expect((await ask(`${one}/orders/none`, 'GET')).status).toBe(404);
    });

    test('a client that leaves while its payment is under way does not pay', async () => {
      const order = await place();
      const left = ask(`${one}${order}/pay`, 'POST', {}, AbortSignal.timeout(60));
      await expect(left).rejects.toThrow(/abort|timeout/i);
      // Who comes next waits for the one who left, and pays.
      expect((await ask(`${two}${order}/pay`)).json).toMatchObject({ status: 'paid' });
      expect((await ask(two + order, 'GET')).json).toMatchObject({ charges: 1 });
    });

    test('parts that are paid at once add up', async () => {
      const order = await place();
      const parts = [one, two, one, two].map((instance) =>
        ask(`${instance}${order}/payments`, 'POST', { amount: 2 }),
      );
      const replies = await Promise.all(parts);
      expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      expect((await ask(two + order, 'GET')).json).toMatchObject({ paid: 8, charges: 4 });
    });

    test('what is under way when it is told to stop is finished', async () => {
      const order = await place();
      const paying = ask(`${one}${order}/pay`);
      // Until the payment has its lock, or is even done, there is nothing to ship.
      while ((await ask(`${two}${order}/ship`)).status === 409);
      for (const { child } of running) child.kill('SIGTERM');
      expect((await paying).status).toBe(200);
      for (const { child } of running) {
        if (child.exitCode === null) await once(child, 'exit');
        expect(child.exitCode).toBe(0);
      }
    });
  });
}

const files = [databaseFolder(), databaseFolder(), databaseFolder()] as const;
afterAll(() => files.forEach(({ remove }) => remove()));

suite('two instances in one process, on memory', async () => [
  await start({ DATABASE_URL: files[0].url }),
]);

const redis = useRedis();
suite('two processes with an instance each, on Redis', () => {
  const env = { REDIS_URL: redis.url, DATABASE_URL: files[1].url };
  return Promise.all([start(env, 1), start(env, 1)]);
});

test('a request that takes too long is answered, and its order is kept until its work is done', async () => {
  const running = await start({ LIMIT: '300', PARTNER: '1500', DATABASE_URL: files[2].url }, 1);
  const [url = ''] = running.urls;
  const { json } = await ask(`${url}/orders`, 'POST', { item: 'tea', amount: 7 });
  const order = `${url}/orders/${json['id'] as string}`;
  const database = await Database.open(files[2].url);
  await database.change(json['id'] as string, 0, { status: 'paid' });
  const slow = await ask(`${order}/ship`);
  expect([slow.status, slow.json['code'], slow.retryAfter]).toEqual([503, 'TIMED_OUT', '1']);
  // The carrier is at work.
  expect((await ask(`${order}/ship`)).json['code']).toBe('LOCK_NOT_ACQUIRED');
  while ((await database.find(json['id'] as string))?.status !== 'shipped') await sleep(10);
  await stop(running);
  database.close();
});

test('a payment by somebody whose lock is over is refused by the table', async () => {
  const database = await Database.open(files[2].url);
  await database.place({ id: 'late', item: 'tea', amount: 7 });
  await database.change('late', 8, { paid: 3 }, 3);
  await expect(database.change('late', 7, { paid: 5 }, 5)).rejects.toThrow(StaleTokenError);
  expect(await database.find('late')).toMatchObject({ paid: 3 });
  expect(await database.charges('late')).toEqual([3]);
  database.close();
});
