import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import type { Locker } from '@holdfast/core';
import type { ExecutionContext } from '@nestjs/common';
import {
  Args,
  GqlExecutionContext,
  GraphQLModule,
  Mutation,
  Query,
  Resolver,
} from '@nestjs/graphql';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, isFree, serve, until, Work } from './kit/index.ts';

let locker: Locker;
let work: Work;

beforeEach(() => {
  locker = aLocker();
  work = new Work();
});

const keyOf = (args: unknown): string => `order:${(args as { id: string }).id}`;

@Resolver()
class Orders {
  @Query(() => String)
  @WithLock('query')
  async now(): Promise<string> {
    return currentLock()?.key ?? 'none';
  }

  @Mutation(() => String)
  @WithLock((id: string) => `order:${id}`, { wait: 0 })
  async pay(@Args('id', { type: () => String }) id: string): Promise<string> {
    return work.run(`${currentLock()?.key} paid by ${id}`);
  }

  @UseLock((context) => keyOf(GqlExecutionContext.create(context).getArgs()), { wait: 0 })
  @Mutation(() => String)
  async ship(@Args('id', { type: () => String }) id: string): Promise<string> {
    return work.run(`${currentLock()?.key} shipped by ${id}`);
  }
}

interface Reply {
  readonly data: Record<string, string> | null;
  readonly errors?: readonly { message: string; extensions: { code?: string } }[];
}

describe('resolvers', () => {
  const boot = async (options = {}) => {
    const { url } = await serve({
      imports: [
        LockModule.forRoot({ locker, shutdownTimeout: 0, ...options }),
        GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true }),
      ],
      providers: [Orders],
    });
    return async (query: string): Promise<Reply> => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ query }),
      });
      return (await response.json()) as Reply;
    };
  };

  test('resolvers of queries run under their locks', async () => {
    const ask = await boot();
    await expect(ask('{ now }')).resolves.toEqual({ data: { now: 'query' } });
    await expect(isFree(locker, 'query')).resolves.toBe(true);
  });

  test.each([
    { field: 'pay', did: 'paid' },
    { field: 'ship', did: 'shipped' },
  ])(
    'resolvers of mutations are locked, and a busy lock is an error of the field: $field',
    async ({ field, did }) => {
      const ask = await boot();
      const mutation = `mutation { ${field}(id: "1") }`;
      const first = ask(mutation);
      await until(() => work.begun.length === 1);
      const { data, errors } = await ask(mutation);
      expect(data).toBeNull();
      expect(errors?.map(({ message }) => message)).toEqual([expect.stringMatching(/busy/)]);
      work.end(`order:1 ${did} by 1`);
      await expect(first).resolves.toEqual({ data: { [field]: `order:1 ${did} by 1` } });
      await expect(isFree(locker, 'order:1')).resolves.toBe(true);
    },
  );

  test('resolvers throw what the exceptionFactory makes, which knows them', async () => {
    const exceptionFactory = (_error: unknown, context?: ExecutionContext): unknown =>
      new Error(`mapped in ${context?.getHandler().name}`);
    const ask = await boot({ exceptionFactory });
    await locker.withLock('order:1', async () => {
      for (const field of ['pay', 'ship']) {
        const { errors } = await ask(`mutation { ${field}(id: "1") }`);
        expect(errors?.map(({ message }) => message)).toEqual([`mapped in ${field}`]);
      }
    });
  });
});
