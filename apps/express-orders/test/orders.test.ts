// The application as it is started, asked over HTTP, by turns on either instance.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { useRedis } from '@holdfast/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const folder = fileURLToPath(new URL('..', import.meta.url));
const command = ['--import', 'tsx', '--conditions=@holdfast/source', 'src/main.ts'];

interface Running {
  readonly child: ChildProcess;
  readonly urls: readonly string[];
}

/** Starts the application on free ports. */
async function start(env: NodeJS.ProcessEnv, instances = 2): Promise<Running> {
  const PORTS = Array.from({ length: instances }, () => '0').join(',');
  const child = spawn(process.execPath, command, {
    cwd: folder,
    env: { ...process.env, REDIS_URL: '', ...env, PORTS },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const chunk of child.stdout) {
    output += String(chunk);
    const urls = output.match(/http:\/\/\S+/g) ?? [];
    if (urls.length === instances) return { child, urls };
  }
  throw new Error(`The application did not start: ${output}`);
}

async function ask(url: string, method = 'POST', body?: object) {
  const headers = { 'Content-Type': 'application/json' };
  const reply = await fetch(url, { method, headers, body: body ? JSON.stringify(body) : null });
  const text = await reply.text();
  const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, unknown>;
  return { status: reply.status, json, retryAfter: reply.headers.get('Retry-After') };
}

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
      for (const { child } of running) {
        if (child.exitCode !== null) continue;
        child.kill();
        await once(child, 'exit');
      }
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

suite('two instances in one process, on memory', async () => [await start({})]);

const redis = useRedis();
suite('two processes with an instance each, on Redis', () => {
  const env = { REDIS_URL: redis.url };
  return Promise.all([start(env, 1), start(env, 1)]);
});
