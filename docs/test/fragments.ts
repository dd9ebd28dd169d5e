/**
 * What the fragments on pages leave out, because a reader has it: a locker, a client, work of their own,
 * and what a page has shown before. A block that needs none of this is complete, and runs.
 */
const EVERYWHERE: Readonly<Record<string, string>> = {
  locker: "declare const locker: import('@holdfast/core').Locker;",
  store: "declare const store: import('@holdfast/core').LockStore;",
  redis: "declare const redis: import('ioredis').Redis;",
  client: "declare const client: import('ioredis').Redis;",
  urls: 'declare const urls: string[];',
  id: 'declare const id: string;',
  workerId: 'declare const workerId: number;',
  bank: 'declare const bank: { charge(order: object): Promise<void> };',
  request: 'declare const request: { signal: AbortSignal };',
  server: 'declare const server: { close(done?: () => void): unknown };',
  PayDto: 'interface PayDto { cents: number }',
  Payment: 'interface Payment { accountId: string; cents: number }',
};

/** Functions of the reader, of which a page shows only the name. */
const WORK = new Set(
  (
    'charge importEverything load myWork pay refresh renderThumbnails report run ' +
    'sendTheReport ship transfer warmTheCache work'
  ).split(' '),
);

const ON_PAGE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'docs/operations.md': {
    log: 'declare const log: { warn(details: object, message: string): void };',
    lost: 'declare const lost: { add(count: number, attributes: object): void };',
    waits: 'declare const waits: { record(ms: number): void };',
    holds: 'declare const holds: { record(ms: number): void };',
  },
  'docs/problems/transactions.md': {
    database:
      'interface Accounts { debit(id: string, cents: number, fence: number): Promise<void> } ' +
      'declare const database: { transaction(work: (t: Accounts) => Promise<void>): Promise<void> };',
  },
  'packages/core/README.md': {
    render: 'declare const render: () => Promise<void>;',
    train: 'declare const train: () => Promise<void>;',
    call: 'declare const call: () => Promise<void>;',
    read: 'declare const read: () => Promise<void>;',
    write: 'declare const write: () => Promise<void>;',
    runDueJobs:
      'declare const runDueJobs: (under: { fence: number; signal: AbortSignal }) => Promise<void>;',
  },
  'packages/bullmq/README.md': {
    connection: 'declare const connection: { host: string; port: number };',
    queue: "declare const queue: import('bullmq').Queue;",
    'Payments.pay':
      "export interface Payments { pay(data: Payment, lock: import('@holdfast/core').Lock): Promise<void> }",
  },
  'packages/express/README.md': {
    express: "import express from 'express';",
    app: "declare const app: import('express').Express;",
    authenticate: "declare const authenticate: import('express').RequestHandler;",
    rateLimit: "declare const rateLimit: import('express').RequestHandler;",
    orderLock: "declare const orderLock: import('express').RequestHandler;",
    pay: "declare const pay: import('express').RequestHandler;",
    server: "declare const server: import('node:http').Server;",
  },
  'packages/memcached/README.md': {
    client: "declare const client: import('memjs').Client;",
  },
  'packages/nestjs/README.md': {
    RpcException: "import { RpcException } from '@nestjs/microservices';",
    Transactional: 'declare const Transactional: () => MethodDecorator;',
    OrderService:
      'declare class OrderService { constructor(bank: object); pay(id: string): Promise<string> }',
    bankMock: 'declare const bankMock: object;',
    'Module.get': "declare const module: import('@nestjs/testing').TestingModule;",
    app: "declare const app: import('@nestjs/common').INestApplication;",
    request:
      'declare function request(server: unknown): ' +
      '{ post(path: string): { expect(status: number): Promise<void> } };',
    TenantService: 'declare class TenantService { of(request: unknown): Promise<string> }',
  },
  'packages/board/README.md': {
    board: "import { board } from '@holdfast/board';",
    requireOperator: "declare const requireOperator: import('express').RequestHandler;",
    orders: "declare const orders: import('@holdfast/core').Locker;",
    jobs: "declare const jobs: import('@holdfast/core').Locker;",
    userOf: 'declare function userOf(request: unknown): Promise<{ role: string }>;',
    audit: 'declare const audit: { write(entry: object): void };',
  },
  'packages/testing/README.md': {
    client: 'declare const client: unknown;',
    myStore: "declare function myStore(client: unknown): import('@holdfast/core').LockStore;",
  },
};

/** Declares a name, or a member (`Class.member`), for a fragment of a page; nothing if it is not known. */
export function declarationOf(page: string, name: string): string | undefined {
  const work = WORK.has(name)
    ? `declare function ${name}(...given: unknown[]): Promise<void>;`
    : undefined;
  return ON_PAGE[page]?.[name] ?? EVERYWHERE[name] ?? work;
}
