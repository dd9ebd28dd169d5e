import { memoryStore, type Locker, type LockStore } from '@holdfast/core';
import { currentLock, LockModule, WithLock, type LockModuleOptions } from '@holdfast/nestjs';
import { Controller, Get, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { Subject } from 'rxjs';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  aLocker,
  aMoment,
  call,
  gate,
  isFree,
  serve,
  until,
  untilFree,
  Work,
} from './kit/index.ts';

let work: Work;
let store: LockStore;
/** Another process. */
let outside: Locker;
let signal: AbortSignal | undefined;
/** What happens, in order. */
let log: string[];

beforeEach(() => {
  work = new Work();
  store = memoryStore();
  outside = aLocker({ store });
  signal = undefined;
  log = [];
});

@Injectable()
class Service implements OnApplicationShutdown {
  atShutdown: (() => Promise<unknown>) | undefined;

  @WithLock('k')
  async run(name: string): Promise<string> {
    signal = currentLock()?.signal;
    return work.run(name);
  }

  @WithLock('free')
  async free(): Promise<string> {
    return 'ran';
  }

  @WithLock('values')
  async values(): Promise<Subject<string>> {
    return new Subject();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.atShutdown?.();
  }
}

@Controller()
class Http {
  constructor(private readonly service: Service) {}

  @Get('run')
  async run(): Promise<string> {
    return this.service.run('request');
  }

  @Get('later')
  async later(): Promise<string> {
    await work.run('first');
    return this.service.free();
  }
}

async function boot(options: LockModuleOptions): Promise<TestingModule> {
  const module = await Test.createTestingModule({
    imports: [LockModule.forRoot(options)],
    providers: [Service],
  }).compile();
  await module.init();
  return module;
}

const closing = (module: { close(): Promise<void> }): Promise<void> =>
  module.close().then(() => {
    log.push('closed');
  });

describe.each<{ whose: string; options: () => LockModuleOptions }>([
  { whose: 'its own', options: () => ({ store }) },
  { whose: "its user's", options: () => ({ locker: aLocker({ store }) }) },
])('an application that shuts down with a locker of $whose', ({ options }) => {
  test('a shutdown waits for what runs under a lock, and releases it', async () => {
    const module = await boot(options());
    const ran = module
      .get(Service)
      .run('a')
      .then(() => log.push('ran'));
    await until(() => work.begun.length === 1);
    const closed = closing(module);
    await aMoment();
    expect(log).toEqual([]);
    expect(signal?.aborted).toBe(false);
    await expect(isFree(outside, 'k')).resolves.toBe(false);
    work.end('a');
    await Promise.all([ran, closed]);
    expect(log).toEqual(['ran', 'closed']);
    await expect(isFree(outside, 'k')).resolves.toBe(true);
  });

  test('a shutdown waits no longer than it is told, and aborts the signal of what still runs', async () => {
    const module = await boot({ ...options(), shutdownTimeout: 100 });
    const ran = module.get(Service).run('a');
    await until(() => work.begun.length === 1);
    await closing(module);
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toHaveProperty('code', expect.stringMatching(/LOCK_(ABORTED|LOST)/));
    // It still runs, so nobody else may.
    await expect(isFree(outside, 'k')).resolves.toBe(false);
    work.end('a');
    await expect(ran).resolves.toBe('a');
    await untilFree(outside, 'k');
  });

  test('a shutdown waits for as long as it takes, if it is told so', async () => {
    const module = await boot({ ...options(), shutdownTimeout: Infinity });
    const ran = module.get(Service).run('a');
    await until(() => work.begun.length === 1);
    const closed = closing(module);
    await aMoment();
    expect(log).toEqual([]);
    expect(signal?.aborted).toBe(false);
    work.end('a');
    await Promise.all([ran, closed]);
  });

  test('a shutdown rejects calls that wait, and gives out nothing afterwards', async () => {
    const module = await boot(options());
    const service = module.get(Service);
    const ran = service.run('a');
    await until(() => work.begun.length === 1);
    const waiting = service.run('b');
    waiting.catch(() => {});
    await aMoment();
    const closed = closing(module);
    await expect(waiting).rejects.toMatchObject({ code: 'LOCKER_CLOSED', status: 503 });
    work.end('a');
    await Promise.all([ran, closed]);
    await expect(service.free()).rejects.toMatchObject({ code: 'LOCKER_CLOSED' });
    expect(work.begun).toEqual(['a']);
  });

  test('a shutdown serves the calls that wait, if it is told so', async () => {
    const module = await boot({ ...options(), serveWaiting: true });
    const service = module.get(Service);
    const ran = service.run('a');
    await until(() => work.begun.length === 1);
    const waiting = [service.run('b'), service.run('c')];
    await aMoment();
    const closed = closing(module);
    await aMoment();
    for (const name of ['a', 'b', 'c']) work.end(name);
    await expect(Promise.all([ran, ...waiting])).resolves.toEqual(['a', 'b', 'c']);
    await closed;
    expect([log, work.most]).toEqual([['closed'], 1]);
    await expect(isFree(outside, 'k')).resolves.toBe(true);
    await expect(service.free()).rejects.toMatchObject({ code: 'LOCKER_CLOSED' });
  });

  test('a shutdown rejects the calls that still wait when its time is over', async () => {
    const module = await boot({ ...options(), serveWaiting: true, shutdownTimeout: 200 });
    const service = module.get(Service);
    const ran = service.run('a');
    await until(() => work.begun.length === 1);
    const waiting = service.run('b');
    waiting.catch(() => {});
    await aMoment();
    await closing(module);
    await expect(waiting).rejects.toMatchObject({ code: 'LOCKER_CLOSED' });
    work.end('a');
    await expect(ran).resolves.toBe('a');
    expect(work.begun).toEqual(['a']);
  });

  test('a shutdown does not wait for results that nobody consumes', async () => {
    const module = await boot({ ...options(), shutdownTimeout: 20_000 });
    await module.get(Service).values();
    await expect(isFree(outside, 'values')).resolves.toBe(false);
    const began = performance.now();
    await closing(module);
    expect(performance.now() - began).toBeLessThan(15_000);
    await expect(isFree(outside, 'values')).resolves.toBe(true);
  });

  test('a shutdown gives out what is free while it waits', async () => {
    const module = await boot(options());
    const service = module.get(Service);
    const ran = service.run('a');
    await until(() => work.begun.length === 1);
    const closed = closing(module);
    await aMoment();
    await expect(service.free()).resolves.toBe('ran');
    work.end('a');
    await Promise.all([ran, closed]);
  });

  test('a shutdown lets running requests be answered', async () => {
    const { app, url } = await serve({
      imports: [LockModule.forRoot(options())],
      controllers: [Http],
      providers: [Service],
    });
    const answers = [call('GET', `${url}/run`), call('GET', `${url}/later`)];
    await until(() => work.begun.length === 2);
    const closed = closing(app);
    await aMoment();
    work.end('first');
    work.end('request');
    await expect(Promise.all(answers)).resolves.toMatchObject([
      { status: 200, text: 'request' },
      { status: 200, text: 'ran' },
    ]);
    await closed;
  });
});

describe('work that other providers finish at shutdown', () => {
  test('a shutdown waits for work that other providers finish', async () => {
    const done = gate();
    @Module({ providers: [Service], exports: [Service] })
    class Feature {}
    const module = await Test.createTestingModule({
      imports: [Feature, LockModule.forRoot({ store })],
    }).compile();
    await module.init();
    const service = module.get(Service);
    // As workers do: at shutdown they wait for the jobs that run.
    const ran = service.run('job').then(() => done.open());
    service.atShutdown = () => done.opened;
    await until(() => work.begun.length === 1);
    const closed = closing(module);
    await aMoment();
    expect(log).toEqual([]);
    work.end('job');
    await Promise.all([ran, closed]);
    expect(signal?.reason).toMatchObject({ code: 'LOCK_RELEASED' });
  });
});
