import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { freePort } from '@holdfast/test-servers';
import { currentLock, LockModule, UseLock, WithLock } from '@holdfast/nestjs';
import type { Locker } from '@holdfast/core';
import { Controller, Get, Injectable, type ExecutionContext } from '@nestjs/common';
import {
  ClientProxyFactory,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  Transport,
  type ClientProxy,
} from '@nestjs/microservices';
import { WsAdapter } from '@nestjs/platform-ws';
import { Test, type TestingModule } from '@nestjs/testing';
import { MessageBody, SubscribeMessage, WebSocketGateway, WsException } from '@nestjs/websockets';
import { from, lastValueFrom, toArray, type Observable } from 'rxjs';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { aLocker, atEnd, call, isFree, serve, until, untilFree, Work } from './kit/index.ts';

let locker: Locker;
let work: Work;

beforeEach(() => {
  locker = aLocker();
  work = new Work();
});

interface Order {
  readonly id: string;
}

@Controller()
class Messages {
  @MessagePattern('method')
  @WithLock((order: Order) => `order:${order.id}`, { wait: 0 })
  async method(@Payload() order: Order): Promise<unknown> {
    return { key: currentLock()?.key, id: await work.run(order.id) };
  }

  @UseLock((context) => `order:${context.switchToRpc().getData<Order>().id}`, { wait: 0 })
  @MessagePattern('request')
  async request(@Payload() order: Order): Promise<unknown> {
    return { key: currentLock()?.key, id: await work.run(order.id) };
  }

  @MessagePattern('values')
  @WithLock('values')
  values(): Observable<unknown> {
    return from([currentLock()?.key, 'b']);
  }

  @EventPattern('event')
  @WithLock((order: Order) => `order:${order.id}`)
  async event(@Payload() order: Order): Promise<void> {
    await work.run(order.id);
  }
}

const logger = () => ({
  log() {},
  warn() {},
  error: vi.fn<(message: unknown) => void>(),
});

type Log = ReturnType<typeof logger>;

const HOST = '127.0.0.1';

async function serveMessages(options: object, log: Log): Promise<ClientProxy> {
  const module = await Test.createTestingModule({
    imports: [LockModule.forRoot({ locker, shutdownTimeout: 0, ...options })],
    controllers: [Messages],
  }).compile();
  const client = ClientProxyFactory.create({
    transport: Transport.TCP,
    options: { host: HOST, port: await listen(module, log) },
  });
  await client.connect();
  atEnd(() => client.close());
  return client;
}

/** On a port that nobody else has taken: Nest 10 cannot leave the choice to the system. */
async function listen(module: TestingModule, log: Log): Promise<number> {
  const port = await freePort();
  const transport = { transport: Transport.TCP, options: { host: HOST, port } } as const;
  const app = module.createNestMicroservice({ ...transport, logger: log });
  try {
    await app.listen();
  } catch (error) {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    log.error.mockClear();
    return listen(module, log);
  }
  atEnd(() => app.close());
  return port;
}

describe('message handlers', () => {
  test.each(['method', 'request'])(
    'handlers run under their locks, and a busy lock is logged: %s',
    async (pattern) => {
      const log = logger();
      const client = await serveMessages({}, log);
      const send = () => lastValueFrom(client.send(pattern, { id: '1' }));
      const first = send();
      await until(() => work.begun.length === 1);
      await expect(send()).rejects.toMatchObject({
        status: 'error',
        message: 'Internal server error',
      });
      expect(log.error.mock.calls.map(([message]) => String(message))).toEqual([
        expect.stringMatching(/busy/),
      ]);
      work.end('1');
      await expect(first).resolves.toEqual({ key: 'order:1', id: '1' });
      await untilFree(locker, 'order:1');
    },
  );

  test.each(['method', 'request'])(
    'handlers throw what the exceptionFactory makes: %s',
    async (pattern) => {
      const exceptionFactory = (error: { code: string }) => new RpcException({ code: error.code });
      const client = await serveMessages({ exceptionFactory }, logger());
      await locker.withLock('order:1', async () => {
        await expect(lastValueFrom(client.send(pattern, { id: '1' }))).rejects.toEqual({
          code: 'LOCK_NOT_ACQUIRED',
        });
      });
    },
  );

  test.each(['method', 'request'])(
    'the exceptionFactory hears once of an error that it leaves as it is: %s',
    async (pattern) => {
      const heard: unknown[] = [];
      const exceptionFactory = (error: { code: string }, context?: ExecutionContext): undefined =>
        void heard.push([error.code, context?.getType()]);
      const client = await serveMessages({ exceptionFactory }, logger());
      await locker.withLock('order:1', async () => {
        await expect(lastValueFrom(client.send(pattern, { id: '1' }))).rejects.toBeDefined();
      });
      expect(heard).toEqual([['LOCK_NOT_ACQUIRED', 'rpc']]);
    },
  );

  test('message handlers can answer with Observables', async () => {
    const client = await serveMessages({}, logger());
    await expect(lastValueFrom(client.send('values', {}).pipe(toArray()))).resolves.toEqual([
      'values',
      'b',
    ]);
    await expect(isFree(locker, 'values')).resolves.toBe(true);
  });

  test('handlers of events run one after the other', async () => {
    const client = await serveMessages({}, logger());
    work.end('1');
    const emit = () => lastValueFrom(client.emit('event', { id: '1' }), { defaultValue: null });
    await Promise.all([emit(), emit(), emit()]);
    await until(() => work.ended.length === 3);
    expect(work.most).toBe(1);
  });
});

@WebSocketGateway()
class Gateway {
  @SubscribeMessage('method')
  @WithLock((order: Order) => `order:${order.id}`, { wait: 0 })
  async method(@MessageBody() order: Order): Promise<unknown> {
    const key = currentLock()?.key;
    return { event: 'done', data: { key, id: await work.run(order.id) } };
  }

  @UseLock((context) => `order:${context.switchToWs().getData<Order>().id}`, { wait: 0 })
  @SubscribeMessage('request')
  async request(@MessageBody() order: Order): Promise<unknown> {
    const key = currentLock()?.key;
    return { event: 'done', data: { key, id: await work.run(order.id) } };
  }
}

async function connectSocket(options: object, log: Log) {
  const module = await Test.createTestingModule({
    imports: [LockModule.forRoot({ locker, shutdownTimeout: 0, ...options })],
    providers: [Gateway],
  }).compile();
  const app = module.createNestApplication({ logger: log });
  app.useWebSocketAdapter(new WsAdapter(app));
  await app.listen(0, '127.0.0.1');
  atEnd(() => app.close());
  const { port } = app.getHttpServer().address() as AddressInfo;
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  const messages: unknown[] = [];
  socket.on('message', (message: Buffer) => messages.push(JSON.parse(message.toString())));
  await once(socket, 'open');
  atEnd(() => socket.terminate());
  const send = (event: string) => socket.send(JSON.stringify({ event, data: { id: '1' } }));
  return { messages, send };
}

describe('socket handlers', () => {
  test.each(['method', 'request'])(
    'socket handlers are locked, and a busy lock is logged: %s',
    async (event) => {
      const log = logger();
      const { messages, send } = await connectSocket({}, log);
      send(event);
      await until(() => work.begun.length === 1);
      send(event);
      await until(() => log.error.mock.calls.length === 1);
      expect(String(log.error.mock.calls[0]?.[0])).toMatch(/busy/);
      work.end('1');
      await until(() =>
        messages.some((message) => (message as { event: string }).event === 'done'),
      );
      expect(messages).toContainEqual({ event: 'done', data: { key: 'order:1', id: '1' } });
      expect(work.begun).toEqual(['1']);
      await untilFree(locker, 'order:1');
    },
  );

  test.each(['method', 'request'])(
    'socket handlers have the errors that they are given: %s',
    async (event) => {
      const mapped: unknown[] = [];
      const exceptionFactory = (error: { code: string }, context: unknown) => {
        mapped.push([error.code, context !== undefined]);
        return new WsException(error.code);
      };
      const log = logger();
      const { send } = await connectSocket({ exceptionFactory }, log);
      await locker.withLock('order:1', async () => {
        send(event);
        await until(() => mapped.length === 1);
      });
      expect(mapped).toEqual([['LOCK_NOT_ACQUIRED', true]]);
      expect(log.error).not.toHaveBeenCalled();
    },
  );
});

describe('a hybrid application', () => {
  test.each([{ inheritAppConfig: false }, { inheritAppConfig: true }])(
    'a hybrid application tells the exceptionFactory of a method whether it serves HTTP or messages: %o',
    async (hybrid) => {
      @Injectable()
      class Shared {
        @WithLock('shared', { wait: 0 })
        async run(): Promise<string> {
          return 'ran';
        }
      }

      @Controller()
      class Both {
        constructor(private readonly shared: Shared) {}

        @MessagePattern('both')
        async message(): Promise<string> {
          return this.shared.run();
        }

        @Get('both')
        async request(): Promise<string> {
          return this.shared.run();
        }
      }

      const exceptionFactory = (error: { code: string }, context?: ExecutionContext): unknown =>
        context?.getType() === 'rpc'
          ? new RpcException({ code: error.code, handler: context.getHandler().name })
          : undefined;
      const { app, url } = await serve({
        imports: [LockModule.forRoot({ locker, shutdownTimeout: 0, exceptionFactory })],
        controllers: [Both],
        providers: [Shared],
      });
      const port = await freePort();
      const tcp = { transport: Transport.TCP, options: { host: HOST, port } } as const;
      app.connectMicroservice(tcp, hybrid);
      await app.startAllMicroservices();
      const client = ClientProxyFactory.create(tcp);
      atEnd(() => client.close());
      await locker.withLock('shared', async () => {
        await expect(lastValueFrom(client.send('both', {}))).rejects.toEqual({
          code: 'LOCK_NOT_ACQUIRED',
          handler: 'message',
        });
        await expect(call('GET', `${url}/both`)).resolves.toMatchObject({ status: 423 });
      });
      await expect(lastValueFrom(client.send('both', {}))).resolves.toBe('ran');
    },
  );
});
