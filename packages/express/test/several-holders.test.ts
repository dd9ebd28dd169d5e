// Locks that several requests hold: as many as a limit says, or all that only read.
import { lockRoute } from '@holdfast/express';
import { expect, test } from 'vitest';
import { deferred, express, post, serve, testLocker, until } from './kit.ts';

/** A handler that many requests are in at once, until the test lets them go. */
function crowd() {
  const gate = deferred();
  const state = { inside: 0, most: 0, gate };
  const handler: express.RequestHandler = (_req, res) => {
    state.inside += 1;
    state.most = Math.max(state.most, state.inside);
    void gate.promise.then(() => {
      state.inside -= 1;
      res.send('ok');
    });
  };
  return { state, handler };
}

test('a limit lets so many requests of a tenant in, and answers 423 to the next', async () => {
  const { locker } = testLocker();
  const { state, handler } = crowd();
  const app = express();
  const key = (req: express.Request): string => `tenant:${req.params['tenant'] as string}`;
  app.post('/:tenant', lockRoute({ locker, key, limit: 2 }), handler);
  const { url } = await serve(app);
  const served = [post(`${url}/ash`), post(`${url}/ash`)];
  await until(() => state.inside === 2);
  const busy = await post(`${url}/ash`);
  expect([busy.status, busy.headers.get('Retry-After')]).toEqual([423, '1']);
  const other = post(`${url}/birch`);
  await until(() => state.inside === 3);
  state.gate.resolve();
  for (const reply of await Promise.all([...served, other])) expect(reply.status).toBe(200);
  // The client that had its answer finds its permit free.
  expect((await post(`${url}/ash`)).status).toBe(200);
});

test('limits of a list of keys hold together, and requests that wait are served in turn', async () => {
  const { locker } = testLocker();
  const { state, handler } = crowd();
  const app = express();
  const lock = lockRoute({
    locker,
    key: (req) => [`tenant:${req.params['tenant'] as string}`, 'total'],
    limit: [2, 3],
    wait: 60_000,
  });
  app.post('/:tenant', lock, handler);
  const { url } = await serve(app);
  const replies = ['ash', 'ash', 'ash', 'birch', 'birch'].map((tenant) => post(`${url}/${tenant}`));
  await until(() => state.inside === 3);
  await until(async () => ((await locker.inspect('total'))?.holders?.length ?? 0) === 3);
  state.gate.resolve();
  for (const reply of await Promise.all(replies)) expect(reply.status).toBe(200);
  expect(state.most).toBeLessThanOrEqual(3);
  expect(await locker.inspect('total')).toBeNull();
});

test('shared requests are served together, and one that writes alone', async () => {
  const { locker } = testLocker();
  const { state, handler } = crowd();
  const app = express();
  app.get('/', lockRoute({ locker, key: 'k', shared: true }), handler);
  app.post('/', lockRoute({ locker, key: 'k' }), handler);
  const { url } = await serve(app);
  const readers = [fetch(url), fetch(url)];
  await until(() => state.inside === 2);
  expect((await post(url)).status).toBe(423);
  state.gate.resolve();
  for (const reply of await Promise.all(readers)) expect(reply.status).toBe(200);
  expect((await post(url)).status).toBe(200);
});

test('a weight of the request counts', async () => {
  const { locker } = testLocker();
  const { state, handler } = crowd();
  const app = express();
  const weight = (req: express.Request): number => Number(req.headers['x-weight']);
  app.post('/', lockRoute({ locker, key: 'k', limit: 5, weight }), handler);
  const { url } = await serve(app);
  const heavy = post(url, { headers: { 'x-weight': '4' } });
  await until(() => state.inside === 1);
  expect((await post(url, { headers: { 'x-weight': '2' } })).status).toBe(423);
  const light = post(url, { headers: { 'x-weight': '1' } });
  await until(() => state.inside === 2);
  state.gate.resolve();
  expect([(await heavy).status, (await light).status]).toEqual([200, 200]);
  // What a request computed wrongly is the client's fault.
  expect((await post(url, { headers: { 'x-weight': '6' } })).status).toBe(400);
});
