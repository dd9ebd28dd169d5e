// Clients that go away do not free the lock of a handler that runs on.
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { call, connect, until } from './kit/index.ts';
import { boot, busy, cases, stage, useStage } from './kit/streaming.ts';

useStage();

describe.each(cases)('on $adapter, with the lock of a $path,', (on) => {
  test('a client that goes away does not free the lock while its handler runs', async () => {
    const url = await boot(on);
    const client = connect('GET', `${url}/slow`);
    await until(() => stage.work.begun.length === 1);
    client.leave();
    if (on.path === 'request') await until(() => stage.signal?.aborted === true);
    await stage.outlast();
    await expect(stage.isFree()).resolves.toBe(false);
    const code = on.path === 'request' ? 'LOCK_ABORTED' : undefined;
    expect((stage.signal?.reason as { code?: string } | undefined)?.code).toBe(code);
    stage.work.end('slow');
    await stage.untilFree();
    expect(stage.work.ended).toEqual(['slow']);
  });

  test('a client that goes away while its events are set up does not free the lock', async () => {
    const url = await boot(on);
    const client = connect('GET', `${url}/late-events`);
    await until(() => stage.work.begun.length === 1);
    client.leave();
    if (on.path === 'request') await until(() => stage.signal?.aborted === true);
    await stage.outlast();
    await expect(busy(url)).resolves.toBe(true);
    stage.work.end('setup');
    await until(() => stage.work.ended.length === 1);
    // Where Nest never subscribes to the events now, it takes the ttl.
    await stage.untilExpired();
  });

  test('a response that nobody ends when the client is gone is freed by the ttl', async () => {
    const url = await boot(on);
    const client = connect('GET', `${url}/own`);
    stage.source.write('a');
    await once(await client.response, 'data');
    await expect(busy(url)).resolves.toBe(true);
    client.leave();
    await stage.untilExpired();
  });

  test('an interceptor that gives the handler up does not free the lock while it runs', async () => {
    const url = await boot(on);
    const answer = await call('GET', `${url}/impatient`);
    expect(answer.status).toBe(500);
    await stage.outlast();
    await expect(busy(url)).resolves.toBe(true);
    stage.work.end('impatient');
    await stage.untilFree();
  });
});
