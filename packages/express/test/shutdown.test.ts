// A server that stops while requests hold a lock, and while others wait in line for it.
import { promisify } from 'node:util';
import { lockRoute } from '@holdfast/express';
import { expect, test } from 'vitest';
import { deferred, express, post, realLocker, serve, until } from './kit.ts';

async function busySite() {
  const locker = realLocker();
  const goOn = deferred();
  let inside = 0;
  let waiting = 0;
  locker.on('waiting', () => (waiting += 1));
  const app = express();
  app.set('env', 'test');
  app.post('/', lockRoute({ locker, key: 'k', wait: 60_000 }), async (_req, res) => {
    inside += 1;
    await goOn.promise;
    res.send('ok');
  });
  const { server, url } = await serve(app);
  // Clients that keep no connection: a server that closes waits 5 s for one that is kept.
  const ask = () => post(url, { headers: { connection: 'close' } });
  const replies = [ask(), ask(), ask()];
  await until(() => inside === 1 && waiting === 2);
  const close = promisify(server.close.bind(server));
  return { locker, replies, close, goOn: () => goOn.resolve() };
}

const statuses = async (replies: Promise<Response>[]): Promise<number[]> =>
  (await Promise.all(replies)).map(({ status }) => status).toSorted((a, b) => a - b);

test('a server that is closed before its locker serves those in line', async () => {
  const { locker, replies, close, goOn } = await busySite();
  const closed = close();
  goOn();
  await closed;
  await locker.close();
  expect(await statuses(replies)).toEqual([200, 200, 200]);
});

test('a locker that drains lets its holder finish, and refuses those in line with 503', async () => {
  const { locker, replies, close, goOn } = await busySite();
  const closed = Promise.all([close(), locker.close({ drain: 60_000 })]);
  // Those in line are refused while the holder is still at work.
  expect((await Promise.race(replies)).status).toBe(503);
  goOn();
  await closed;
  expect(await statuses(replies)).toEqual([200, 503, 503]);
});
