import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockLostError, type Locker } from '@holdfast/core';
import { lockRoute } from '@holdfast/express';
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
} from 'express';
import { StaleTokenError, type Database, type Order } from './database.ts';

/** How patient the API is, in ms. */
export interface Times {
  /** What the bank and the carrier take. */
  readonly partner: number;
  /** How long a request waits for its order. */
  readonly wait: number;
  /** When a request is answered with 503, whatever is being done for it. */
  readonly limit: number;
}

/** An error that is answered with its status and code. */
const refusal = (status: number, code: string, message: string): Error =>
  Object.assign(new Error(message), { status, code });

/** Answers in time, also while a handler is at work. Its lock is held until it is done. */
const timeLimit = (ms: number): RequestHandler => {
  return (_req, res, next) => {
    const timer = setTimeout(() => {
      if (!res.headersSent) res.status(503).set('Retry-After', '1').json({ code: 'TIMED_OUT' });
    }, ms);
    res.on('close', () => clearTimeout(timer));
    next();
  };
};

/** What work that was broken off was broken off for: its lock was lost, or its client left. */
const reasonOf = (error: unknown): unknown =>
  error instanceof Error && error.name === 'AbortError' ? error.cause : error;

/** Answers with the status of an error, and with its code, never with its key. */
const answerErrors: ErrorRequestHandler = (error: unknown, _req, res, next) => {
  if (res.headersSent || res.closed) {
    // A time-out was first, or the client has left: nobody waits for this answer.
    res.end();
    return;
  }
  const reason = reasonOf(error);
  const { status, code } = reason as Record<string, unknown>;
  if (reason instanceof LockLostError || reason instanceof StaleTokenError || status === 503) {
    res.status(503).set('Retry-After', '1').json({ code });
  } else if (typeof status === 'number') {
    res.status(status).json({ code });
  } else {
    next(error);
  }
};

/** One instance of the order API. */
export function orderApp(locker: Locker, database: Database, times: Times): Express {
  const app = express();
  app.use(timeLimit(times.limit), express.json());

  const key = (req: Request<{ id: string }>): string => `order:${req.params.id}`;
  // Who pays at the same time, on whatever instance, waits in line.
  const inLine = lockRoute({ locker, key, wait: times.wait });
  // Who ships at the same time is told so, with 423.
  const atOnce = lockRoute({ locker, key });
  const find = async (id: string): Promise<Order> => {
    const order = await database.find(id);
    if (order === undefined) throw refusal(404, 'NO_ORDER', 'There is no such order.');
    return order;
  };

  app.post('/orders', async (req, res) => {
    const { item, amount } = (req.body ?? {}) as Partial<Order>;
    if (typeof item !== 'string' || typeof amount !== 'number') {
      throw refusal(400, 'BAD_ORDER', 'An order has an `item` and an `amount`.');
    }
    const id = randomUUID();
    await database.place({ id, item, amount });
    res
      .status(201)
      .location(`/orders/${id}`)
      .json(await find(id));
  });

  app.get('/orders/:id', async (req, res) => {
    const order = await find(req.params.id);
    res.json({ ...order, charges: (await database.charges(order.id)).length });
  });

  // Paying twice charges once, and both get the receipt of the first. A client that leaves, or a request
  // that takes too long, stops the payment where that is still possible.
  const pay = inLine.handler(async (req, res) => {
    const { lock } = req;
    const { id, status, amount, paid } = await find(req.params.id);
    if (status === 'placed') {
      await sleep(times.partner, undefined, { signal: lock.signal });
      const receipt = `R-${lock.fencingToken}`;
      lock.assertHeld();
      const set = { status: 'paid', paid: amount, receipt } as const;
      await database.change(id, lock.fencingToken, set, amount - paid);
    }
    res.json(await find(id));
  });
  app.post('/orders/:id/pay', pay);

  // Each adds to what was paid before: a read and a write that nobody may come between.
  const payPart = inLine.handler(async (req, res) => {
    const { lock } = req;
    const { id, paid } = await find(req.params.id);
    const part = Number((req.body as { amount?: unknown }).amount);
    if (!(part > 0)) throw refusal(400, 'BAD_PAYMENT', 'A payment has an `amount` above 0.');
    await sleep(times.partner, undefined, { signal: lock.signal });
    lock.assertHeld();
    await database.change(id, lock.fencingToken, { paid: paid + part }, part);
    res.json(await find(id));
  });
  app.post('/orders/:id/payments', payPart);

  const ship = atOnce.handler(async (req, res) => {
    const { lock } = req;
    const { id, status } = await find(req.params.id);
    if (status !== 'paid') throw refusal(409, 'NOT_PAID', `This order is ${status}.`);
    // The parcel is on its way from here on, whether or not its client still waits.
    await sleep(times.partner);
    const parcel = `P-${lock.fencingToken}`;
    await database.change(id, lock.fencingToken, { status: 'shipped', parcel });
    res.json(await find(id));
  });
  app.post('/orders/:id/ship', ship);

  app.use(answerErrors);
  return app;
}
