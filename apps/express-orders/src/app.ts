import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Locker } from '@holdfast/core';
import { getLock, lockRoute } from '@holdfast/express';
import express, { type Express, type Request } from 'express';
import type { Backend, Order } from './backend.ts';

/** An error that Express answers with its status. */
const refusal = (status: number, message: string): Error =>
  Object.assign(new Error(message), { status });

/** One instance of the order API. */
export function orderApp(locker: Locker, backend: Backend): Express {
  const app = express();
  app.use(express.json());

  const key = (req: Request<{ id: string }>): string => `order:${req.params.id}`;
  const find = async (id: string): Promise<Order> => {
    const order = await backend.read(id);
    if (order === undefined) throw refusal(404, 'There is no such order.');
    return order;
  };

  app.post('/orders', async (req, res) => {
    const { item, amount } = (req.body ?? {}) as Partial<Order>;
    if (typeof item !== 'string' || typeof amount !== 'number') {
      throw refusal(400, 'An order has an `item` and an `amount`.');
    }
    const order: Order = { id: randomUUID(), item, amount, status: 'placed' };
    await backend.write(order);
    res.status(201).location(`/orders/${order.id}`).json(order);
  });

  app.get('/orders/:id', async (req, res) => {
    const order = await find(req.params.id);
    res.json({ ...order, charges: await backend.charges(order.id) });
  });

  // Who pays at the same time, on whatever instance, waits, and gets the receipt of the first.
  app.post('/orders/:id/pay', lockRoute({ locker, key, wait: 5_000 }), async (req, res) => {
    const lock = getLock(req);
    const order = await find(req.params.id);
    if (order.status === 'placed') {
      await sleep(250, undefined, { signal: lock.signal }); // The bank takes its time.
      lock.assertHeld();
      await backend.charge(order.id);
      await backend.write({ ...order, status: 'paid', receipt: `R-${lock.fencingToken}` });
    }
    res.json(await find(order.id));
  });

  // Nobody else gets in before this is done, also if its client has left meanwhile. Who ships at the
  // same time is told so, with 423.
  const ship = lockRoute({ locker, key }).handler(async (req, res) => {
    const order = await find(req.params.id);
    if (order.status !== 'paid') throw refusal(409, `This order is ${order.status}.`);
    await sleep(250); // The carrier does too.
    req.lock.assertHeld();
    await backend.write({ ...order, status: 'shipped', parcel: `P-${req.lock.fencingToken}` });
    res.json(await find(order.id));
  });
  app.post('/orders/:id/ship', ship);
  return app;
}
