import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import {
  Controller,
  Get,
  Header,
  HttpCode,
  Injectable,
  Param,
  ParseIntPipe,
  Post,
  SetMetadata,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiOperation, ApiResponse, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { beforeEach, describe, expect, test } from 'vitest';
import { aLocker, call, compile, onNest, serve } from './kit/index.ts';

/** What the guard has seen. */
let seen: unknown[];

beforeEach(() => {
  seen = [];
});

@Injectable()
class Guard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const handler = context.getHandler();
    seen.push([this.reflector.get<string>('role', handler), handler.name, handler.length]);
    return true;
  }
}

/** A decorator of somebody's that is no proxy. */
function Wraps(): MethodDecorator {
  return (_target, _property, descriptor) => {
    const method = descriptor.value as unknown as (...args: unknown[]) => unknown;
    descriptor.value = function wrapped(this: unknown, ...args: unknown[]) {
      return method.apply(this, args);
    } as never;
  };
}

@Controller()
class Orders {
  @WithLock((id: number) => `order:${id}`)
  @Post(':id/above')
  @HttpCode(202)
  @Header('x-answer', 'yes')
  @UseGuards(Guard)
  @SetMetadata('role', 'payer')
  @ApiOperation({ summary: 'Pays an order' })
  @ApiResponse({ status: 202, description: 'Paid' })
  async above(@Param('id', ParseIntPipe) id: number): Promise<unknown> {
    return { id, key: currentLock()?.key };
  }

  @Post(':id/below')
  @HttpCode(202)
  @Header('x-answer', 'yes')
  @UseGuards(Guard)
  @SetMetadata('role', 'payer')
  @ApiOperation({ summary: 'Pays an order' })
  @ApiResponse({ status: 202, description: 'Paid' })
  @WithLock((id: number) => `order:${id}`)
  async below(@Param('id', ParseIntPipe) id: number): Promise<unknown> {
    return { id, key: currentLock()?.key };
  }

  @UseLock(
    (context) =>
      `order:${context.switchToHttp().getRequest<{ params: { id: string } }>().params.id}`,
  )
  @Post(':id/request-above')
  @HttpCode(202)
  @Header('x-answer', 'yes')
  @UseGuards(Guard)
  @SetMetadata('role', 'payer')
  @ApiOperation({ summary: 'Pays an order' })
  @ApiResponse({ status: 202, description: 'Paid' })
  async requestAbove(@Param('id', ParseIntPipe) id: number): Promise<unknown> {
    return { id, key: currentLock()?.key };
  }

  @Get('wrapped')
  @Wraps()
  @WithLock('wrapped')
  async wrapped(): Promise<unknown> {
    return { key: currentLock()?.key };
  }

  @WithLock('wraps')
  @Get('wraps')
  @Wraps()
  async wraps(): Promise<unknown> {
    return { key: currentLock()?.key };
  }

  @WithLock('outer')
  @WithLock('inner')
  @Get('two')
  async two(): Promise<unknown> {
    return { keys: ['outer', 'inner'].map((key) => currentLock(key)?.key) };
  }

  @WithLock('same')
  @WithLock('same')
  @Get('twice')
  async twice(): Promise<unknown> {
    return { key: currentLock()?.key };
  }

  @WithLock('k')
  @UseLock('k')
  async method(one: string, two: number, three?: boolean): Promise<unknown> {
    return [one, two, three];
  }
}

const boot = async () => {
  const options = { imports: [LockModule.forRoot({ locker: aLocker() })], controllers: [Orders] };
  return serve(options);
};

describe('other decorators', () => {
  test.each([
    { path: 'above', handler: 'above' },
    { path: 'below', handler: 'below' },
    { path: 'request-above', handler: 'requestAbove' },
  ])('decorators of a route work above and below the lock: $path', async ({ path, handler }) => {
    const { app, url } = await boot();
    const answer = await call('POST', `${url}/7/${path}`);
    expect(answer.status).toBe(202);
    expect(answer.headers.get('x-answer')).toBe('yes');
    expect(JSON.parse(answer.text)).toEqual({ id: 7, key: 'order:7' });
    expect(seen).toEqual([['payer', handler, 1]]);
    const document = SwaggerModule.createDocument(app, new DocumentBuilder().build());
    expect(document.paths[`/{id}/${path}`]?.post).toMatchObject({
      summary: 'Pays an order',
      responses: { 202: { description: 'Paid' } },
      parameters: [{ name: 'id', in: 'path', schema: { type: 'number' } }],
    });
  });

  test.each(['wrapped', 'wraps', 'twice'])(
    'decorators that wrap the method leave it locked: %s',
    async (path) => {
      const { url } = await boot();
      const { text } = await call('GET', `${url}/${path}`);
      expect(JSON.parse(text)).toEqual({ key: path === 'twice' ? 'same' : path });
    },
  );

  test('several decorators of this package work on one method', async () => {
    const { url } = await boot();
    const { text } = await call('GET', `${url}/two`);
    expect(JSON.parse(text)).toEqual({ keys: ['outer', 'inner'] });
  });
});

describe('a decorated method', () => {
  test('a decorated method keeps its name, length and metadata', () => {
    const method = Reflect.get(Orders.prototype, 'method') as () => unknown;
    expect([method.name, method.length, typeof method]).toEqual(['method', 3, 'function']);
    expect(Object.getOwnPropertyDescriptor(Orders.prototype, 'method')).toMatchObject({
      configurable: true,
      writable: true,
    });
  });

  test('a decorated method gets its arguments and its instance', async () => {
    const module = await compile(aLocker(), { controllers: [Orders] });
    const context = module.get(Orders);
    await expect(context.method('a', 2, true)).resolves.toEqual(['a', 2, true]);
  });
});

describe('these tests', () => {
  test('the tests run on the version of Nest that they say', async () => {
    let stack = '';
    await compile(null, {
      providers: [
        {
          provide: 'where',
          useFactory: () => {
            stack = String(new Error('here').stack);
            return {};
          },
        },
      ],
    });
    expect(stack).toMatch(new RegExp(`@nestjs[+]core@${onNest}[.]`));
  });
});
