import { once } from 'node:events';
import { LockLostError } from '@holdfast/core';
import { assertLocked, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import { Controller, Get, Injectable } from '@nestjs/common';
import { defer, from, lastValueFrom, mergeMap, type Observable } from 'rxjs';
import { describe, expect, test } from 'vitest';
import { aLocker, call, compile, LogBook, serve } from './kit/index.ts';

/** Runs until its lock is lost, and succeeds all the same. */
async function outlive(): Promise<string> {
  const { signal } = assertLocked('lost');
  if (!signal.aborted) await once(signal, 'abort');
  return 'done';
}

const LOSES = { maxHold: 30, throwIfLost: true } as const;

@Injectable()
class Service {
  @WithLock('lost', LOSES)
  async promise(): Promise<string> {
    return outlive();
  }

  @WithLock('lost', LOSES)
  observable(): Observable<string> {
    return defer(() => from(outlive()));
  }

  @WithLock('lost', LOSES)
  async *iterable(): AsyncGenerator<string> {
    yield await outlive();
  }

  @WithLock('lost', LOSES)
  async fails(): Promise<string> {
    await outlive();
    throw new TypeError('its own');
  }

  @WithLock('kept', { throwIfLost: true })
  async kept(): Promise<string> {
    return 'done';
  }

  @WithLock('lost', { maxHold: 30 })
  async byDefault(): Promise<string> {
    return outlive();
  }
}

@Controller()
class Requests {
  @UseLock('lost', LOSES)
  @Get()
  async get(): Promise<string> {
    return outlive();
  }
}

const lost = { code: 'LOCK_LOST', reason: 'max-hold', value: 'done' };

describe('with throwIfLost, a success under a lock that was lost', () => {
  const service = async (): Promise<Service> =>
    (await compile(aLocker(), { providers: [Service] })).get(Service);

  test('fails with the loss and what the method returned', async () => {
    const error: unknown = await (await service()).promise().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockLostError);
    expect(error).toMatchObject(lost);
    expect(Object.keys(error as object)).not.toContain('value');
  });

  test('fails at the end of an Observable', async () => {
    const values: string[] = [];
    const seen = (await service()).observable().pipe(mergeMap(async (value) => values.push(value)));
    await expect(lastValueFrom(seen)).rejects.toMatchObject(lost);
    expect(values).toEqual(['done']);
  });

  test('fails at the end of an iterable', async () => {
    const values: string[] = [];
    const iterate = async (): Promise<void> => {
      for await (const value of (await service()).iterable()) values.push(value);
    };
    await expect(iterate()).rejects.toMatchObject({ code: 'LOCK_LOST' });
    expect(values).toEqual(['done']);
  });

  test('a lost lock does not hide an error of the method', async () => {
    await expect((await service()).fails()).rejects.toThrow('its own');
  });

  test('a success stays one where the lock was kept, and where nobody asks', async () => {
    const { kept, byDefault } = await service().then((made) => ({
      kept: made.kept(),
      byDefault: made.byDefault(),
    }));
    await expect(Promise.all([kept, byDefault])).resolves.toEqual(['done', 'done']);
  });

  test('a success under a lost lock is an internal error of a request, and logged', async () => {
    const log = new LogBook();
    const metadata = {
      imports: [LockModule.forRoot({ locker: aLocker() })],
      controllers: [Requests],
    };
    const { url } = await serve(metadata, 'express', undefined, log);
    await expect(call('GET', url)).resolves.toMatchObject({ status: 500 });
    expect(log.errors.join()).toContain('The lock is lost');
  });
});

test('a locker that the module makes can say so for all', async () => {
  const { app } = await serve({
    imports: [LockModule.forRoot({ throwIfLost: true })],
    providers: [Service],
  });
  await expect(app.get(Service).byDefault()).rejects.toMatchObject({ code: 'LOCK_LOST' });
});
