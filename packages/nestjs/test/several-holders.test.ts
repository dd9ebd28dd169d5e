// Locks that several requests hold, by both decorators.
import type { Locker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get, Injectable, Param, Post } from '@nestjs/common';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, call, isFree, serve, until, Work, type Served } from './kit/index.ts';

let locker: Locker;
let work: Work;

beforeEach(() => {
  locker = aLocker();
  work = new Work();
});

interface TenantRequest {
  readonly params: { readonly tenant: string };
}

@Injectable()
class Exports {
  @WithLock((tenant: string) => [`tenant:${tenant}`, 'total'], { limit: [2, 3], wait: 0 })
  async run(tenant: string, id: string): Promise<string> {
    return work.run(`${tenant}:${id}`);
  }
}

@Controller()
class Requests {
  constructor(private readonly exports: Exports) {}

  @Post('with/:tenant/:id')
  async with(@Param('tenant') tenant: string, @Param('id') id: string): Promise<string> {
    return this.exports.run(tenant, id);
  }

  @UseLock(
    (context) => {
      const { tenant } = context.switchToHttp().getRequest<TenantRequest>().params;
      return [`tenant:${tenant}`, 'total'];
    },
    { limit: [2, 3], wait: 0 },
  )
  @Post('use/:tenant/:id')
  async use(@Param('tenant') tenant: string, @Param('id') id: string): Promise<string> {
    return work.run(`${tenant}:${id}`);
  }

  @UseLock('k', { shared: true, wait: 0 })
  @Get('read/:id')
  async read(@Param('id') id: string): Promise<string> {
    return work.run(`read:${id}`);
  }

  @WithLock('k', { wait: 0 })
  @Post('write')
  async write(): Promise<string> {
    return work.run('write');
  }
}

describe.each(['express', 'fastify'] as const)('on %s', (adapter) => {
  const boot = (): Promise<Served> =>
    serve(
      {
        controllers: [Requests],
        providers: [Exports],
        imports: [LockModule.forRoot({ locker })],
      },
      adapter,
    );

  test.each(['with', 'use'])(
    'as many as a limit of the tenant and one in all say: %s',
    async (how) => {
      const { url } = await boot();
      const first = ['ash/1', 'ash/2'].map((path) => call('POST', `${url}/${how}/${path}`));
      await until(() => work.begun.length === 2);
      expect((await call('POST', `${url}/${how}/ash/3`)).status).toBe(423);
      const third = call('POST', `${url}/${how}/birch/1`);
      await until(() => work.begun.length === 3);
      expect((await call('POST', `${url}/${how}/birch/2`)).status).toBe(423);
      for (const name of ['ash:1', 'ash:2', 'birch:1']) work.end(name);
      for (const { status } of await Promise.all([...first, third])) expect(status).toBe(201);
      expect(work.most).toBe(3);
      expect(await isFree(locker, 'total')).toBe(true);
      work.end('birch:2');
      expect((await call('POST', `${url}/${how}/birch/2`)).status).toBe(201);
    },
  );

  test('readers are served together, and a writer alone', async () => {
    const { url } = await boot();
    const readers = ['1', '2'].map((id) => call('GET', `${url}/read/${id}`));
    await until(() => work.begun.length === 2);
    expect((await call('POST', `${url}/write`)).status).toBe(423);
    for (const id of ['1', '2']) work.end(`read:${id}`);
    for (const { status } of await Promise.all(readers)) expect(status).toBe(200);
    const writer = call('POST', `${url}/write`);
    await until(() => work.begun.includes('write'));
    expect((await call('GET', `${url}/read/3`)).status).toBe(423);
    work.end('write');
    expect((await writer).status).toBe(201);
  });
});
