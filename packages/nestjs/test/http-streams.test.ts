// What is sent bit by bit holds its lock until it is sent, or its client is gone.
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { aMoment, call, connect, onNest, until } from './kit/index.ts';
import { boot, busy, cases, stage, useStage } from './kit/streaming.ts';

useStage();

describe.each(cases)('on $adapter, with the lock of a $path,', (on) => {
  test('a file is held until it is sent', async () => {
    const url = await boot(on);
    const sent = call('GET', `${url}/file`);
    await until(async () => !(await stage.isFree()));
    stage.source.write('a');
    await until(() => stage.source.readableFlowing);
    await stage.outlast();
    await expect(busy(url)).resolves.toBe(true);
    stage.source.end('b');
    await expect(sent).resolves.toMatchObject({ status: 200, text: 'ab' });
    await stage.untilFree();
  });

  test('a file is let go when the client goes away', async () => {
    const url = await boot(on);
    const client = connect('GET', `${url}/file`);
    stage.source.write('a');
    await once(await client.response, 'data');
    await expect(busy(url)).resolves.toBe(true);
    client.leave();
    await stage.untilFree();
  });

  test('events are held until they are complete', async () => {
    const url = await boot(on);
    const sent = call('GET', `${url}/events`);
    await until(() => stage.values.observed);
    stage.values.next({ data: 'a' });
    await stage.outlast();
    await expect(busy(url)).resolves.toBe(true);
    stage.values.complete();
    expect((await sent).text).toContain('data: a');
    await stage.untilFree();
  });

  test('events are let go when the client goes away', async () => {
    const url = await boot(on);
    const client = connect('GET', `${url}/events`);
    await until(() => stage.values.observed);
    client.leave();
    await until(() => !stage.values.observed);
    await stage.untilFree();
  });

  test('a response that the handler sends itself is held until it is sent', async () => {
    const url = await boot(on);
    const sent = call('GET', `${url}/own`);
    await until(async () => !(await stage.isFree()));
    stage.source.write('a');
    await stage.outlast();
    await expect(busy(url)).resolves.toBe(true);
    stage.source.end('b');
    await expect(sent).resolves.toMatchObject({ status: 200, text: 'ab' });
    await stage.untilFree();
  });
});

/** Which of the two there is depends on the version of Nest. */
const sending = onNest >= 12 ? cases : [];
const notSending = onNest >= 12 ? [] : cases;

describe.each(sending)('an async iterable, on $adapter, with the lock of a $path,', (on) => {
  test('an async iterable holds its lock until it is sent', async () => {
    const url = await boot(on);
    const sent = call('GET', `${url}/rows`);
    await until(() => stage.log.length === 1);
    await stage.outlast();
    await expect(busy(url)).resolves.toBe(true);
    stage.slow.open();
    await expect(sent).resolves.toMatchObject({ status: 200, text: 'ab' });
    await stage.untilFree();
    expect(stage.log).toEqual(['opened', 'closed']);
  });

  test('an async iterable is closed, and its lock released, when the client leaves', async () => {
    const url = await boot(on);
    const client = connect('GET', `${url}/rows`);
    await once(await client.response, 'data');
    await expect(busy(url)).resolves.toBe(true);
    client.leave();
    await aMoment();
    stage.slow.open();
    await stage.untilFree();
    expect(stage.log).toEqual(['opened', 'closed']);
  });
});

describe.each(notSending)('an async iterable, on $adapter, with the lock of a $path,', (on) => {
  test('an async iterable that Nest does not send holds nothing for longer than the ttl', async () => {
    const url = await boot(on);
    await expect(call('GET', `${url}/rows`)).resolves.toMatchObject({ status: 200, text: '{}' });
    await stage.untilExpired();
    expect(stage.log).toEqual([]);
  });
});
