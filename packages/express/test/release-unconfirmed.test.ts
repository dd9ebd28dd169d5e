// A store that is slow to confirm a release, or fails to, delays a response by `releaseTimeout` at most.
import { lockRoute } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { express, post, serve, tardySite, testLocker, until } from './kit.ts';

describe('a release that is not confirmed', () => {
  test('delays the end by releaseTimeout at most', async () => {
    const { site, releasing } = await tardySite((res) => res.send('ok'), { releaseTimeout: 20 });
    const reply = await post(`${site.url}/pay`);
    await releasing;
    expect(await reply.text()).toBe('ok');
  });

  test('does not delay it at all with 0', async () => {
    const { site, releasing } = await tardySite((res) => res.send('ok'), { releaseTimeout: 0 });
    expect(await (await post(`${site.url}/pay`)).text()).toBe('ok');
    await releasing;
  });

  test('delays it for longer than release() itself takes, if it may', async () => {
    const { clock, store, locker } = testLocker({ ttl: 60_000, storeTimeout: 500 });
    store.fail({ verb: 'release', times: Infinity });
    const app = express();
    const lock = lockRoute({ locker, key: 'k', releaseTimeout: 60_000 });
    app.post('/pay', lock, (_req, res) => res.send('ok'));
    const { url } = await serve(app);
    let ended = false;
    const reply = post(`${url}/pay`).then((response) => {
      ended = true;
      return response.text();
    });
    await until(() => clock.timers > 0);
    await clock.advance(10_000);
    expect(ended).toBe(false);
    store.heal();
    await clock.advance(5_000);
    expect(await reply).toBe('ok');
    expect(await locker.inspect('k')).toBeNull();
  });

  test('does not reach the client when it fails, and is made up for', async () => {
    const { clock, store, locker } = testLocker();
    store.fail({ verb: 'release', times: 2 });
    const app = express();
    const lock = lockRoute({ locker, key: 'k', releaseTimeout: 20 });
    app.post('/pay', lock, (_req, res) => res.send('ok'));
    const { url } = await serve(app);
    const reply = await post(`${url}/pay`);
    expect([reply.status, await reply.text()]).toEqual([200, 'ok']);
    expect(await locker.inspect('k')).not.toBeNull();
    await clock.advance(1_000);
    expect(await locker.inspect('k')).toBeNull();
  });
});
