import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLocker, type Locker } from '@holdfast/core';
import { gate, type Gate } from '@holdfast/test-servers';
import type { INestApplication, LoggerService, ModuleMetadata } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import { expect, onTestFinished } from 'vitest';
import { LockModule } from '@holdfast/nestjs';

/** The major version of Nest that the tests run on, see the root's vitest.config.ts. */
export const onNest = Number(process.env['ON_NEST'] ?? 12);

/** Is called at the end of the test that runs; the last comes first. */
export function atEnd(cleanup: () => unknown): void {
  onTestFinished(async () => {
    await cleanup();
  });
}

export { gate, type Gate };

/** Work that the test starts and ends, and that knows how much of it ran at once. */
export class Work {
  /** What has begun, in order. */
  readonly begun: string[] = [];
  readonly ended: string[] = [];
  most = 0;
  private running = 0;
  private readonly gates = new Map<string, Gate>();

  async run(name: string): Promise<string> {
    this.begun.push(name);
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    await this.gate(name).opened;
    this.running -= 1;
    this.ended.push(name);
    return name;
  }

  end(name: string): void {
    this.gate(name).open();
  }

  private gate(name: string): Gate {
    const known = this.gates.get(name) ?? gate();
    this.gates.set(name, known);
    return known;
  }
}

/** Waits for a state, however slow the machine is. */
export async function until(reached: () => unknown): Promise<void> {
  await expect.poll(reached, { timeout: 15_000, interval: 5 }).toBeTruthy();
}

/** Long enough for what must not happen to have happened. */
export const aMoment = (): Promise<void> => sleep(60);

export async function isFree(locker: Locker, key: string): Promise<boolean> {
  return (await locker.inspect(key)) === null;
}

export async function untilFree(locker: Locker, key: string): Promise<void> {
  await expect.poll(() => isFree(locker, key), { timeout: 15_000, interval: 5 }).toBe(true);
}

/** A locker of the test's own. */
export function aLocker(options?: Parameters<typeof createLocker>[0]): Locker {
  const locker = createLocker(options);
  atEnd(() => locker.close());
  return locker;
}

/** A module with a locker, and without one in `imports` if `locker` is null. */
export async function compile(
  locker: Locker | null,
  { imports = [], ...metadata }: ModuleMetadata,
): Promise<TestingModule> {
  const module = await Test.createTestingModule({
    imports: locker === null ? imports : [LockModule.forRoot({ locker }), ...imports],
    ...metadata,
  }).compile();
  await module.init();
  atEnd(() => module.close());
  return module;
}

export interface Served {
  readonly app: INestApplication;
  readonly url: string;
}

/** An application that listens. */
export async function serve(
  metadata: ModuleMetadata,
  adapter: 'express' | 'fastify' = 'express',
  prepare: (app: INestApplication) => unknown = () => {},
  logger: LoggerService | false = false,
): Promise<Served> {
  const module = await Test.createTestingModule(metadata).compile();
  const options = { logger } as const;
  const app =
    adapter === 'fastify'
      ? module.createNestApplication(await fastify(), options)
      : module.createNestApplication(options);
  await prepare(app);
  await app.listen(0, '127.0.0.1');
  atEnd(() => app.close());
  const { port } = app.getHttpServer().address() as AddressInfo;
  return { app, url: `http://127.0.0.1:${port}` };
}

/** A logger that keeps what would be printed as a warning or an error, objects as the console shows them. */
export class LogBook implements LoggerService {
  readonly warnings: string[] = [];
  readonly errors: string[] = [];

  log(): void {}

  warn(...what: unknown[]): void {
    this.warnings.push(what.map((one) => (typeof one === 'string' ? one : inspect(one))).join(' '));
  }

  error(...what: unknown[]): void {
    this.errors.push(what.map((one) => (typeof one === 'string' ? one : inspect(one))).join(' '));
  }
}

/** Loaded by those who need it: it takes its time. */
async function fastify(): Promise<AbstractHttpAdapter> {
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return new FastifyAdapter();
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A request on a connection of its own. */
export async function call(method: string, url: string): Promise<Answer> {
  const response = await fetch(url, { method, headers: { connection: 'close' } });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

export interface Client {
  readonly request: ClientRequest;
  readonly response: Promise<IncomingMessage>;
  /** Goes away in the middle of whatever there is. */
  leave(): void;
}

/** A client that can go away. */
export function connect(method: string, url: string): Client {
  const sent = request(url, { method, agent: false });
  const response = once(sent, 'response').then(([message]) => message as IncomingMessage);
  response.catch(() => {});
  sent.on('error', () => {});
  sent.end();
  atEnd(() => sent.destroy());
  return { request: sent, response, leave: () => sent.destroy() };
}

/** Collects garbage, and tells how much memory is in use then, in bytes. */
export function garbageCollector(): () => number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
}
