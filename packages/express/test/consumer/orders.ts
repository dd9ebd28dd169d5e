import { createLocker, type Lock } from '@holdfast/core';
import { getLock, lockRoute, type LockRouteOptions } from '@holdfast/express';
import { expectTypeOf } from 'expect-type';
import express, { Router, type Request, type RequestHandler, type Response } from 'express';

const locker = createLocker();
const app = express();
const router = Router();

// The parameters of a route are strings, in the key function and in the handler.
const orderLock = lockRoute({
  locker,
  key: (req, res) => {
    expectTypeOf(req.params.id).toEqualTypeOf<string>();
    expectTypeOf(req.headers.host).toEqualTypeOf<string | undefined>();
    expectTypeOf(res.statusCode).toEqualTypeOf<number>();
    return `order:${req.params.id}`;
  },
  wait: 2_000,
  ttl: (req) => Number(req.params.ttl),
});
app.post(
  '/orders/:id/ship',
  orderLock.handler(async (req, res, next) => {
    expectTypeOf(req.lock).toEqualTypeOf<Lock>();
    expectTypeOf(req.lock.signal).toEqualTypeOf<AbortSignal>();
    expectTypeOf(req.params.id).toEqualTypeOf<string>();
    expectTypeOf(res.headersSent).toEqualTypeOf<boolean>();
    next();
  }),
);

// A route with the middleware form still knows its own parameters.
app.post('/orders/:id/pay', orderLock, (req) => {
  expectTypeOf(req.params).toHaveProperty('id');
  expectTypeOf(req.params.id).toEqualTypeOf<string>();
  expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
  expectTypeOf(getLock(req)).toEqualTypeOf<Lock>();
  // @ts-expect-error there is no such parameter
  req.params.other;
});

// Wherever Express takes a handler.
const pay: RequestHandler<{ id: string }> = (req, res) => void res.send(req.params.id);
app.use(orderLock);
app.use('/orders', orderLock);
app.all('/', [orderLock, orderLock.handler(pay)]);
router.post('/orders/:id/pay', orderLock, pay);
router.route('/orders/:id').post(orderLock, pay).put(orderLock.handler(pay));

// Several keys, asynchronous functions.
const several = lockRoute({ locker, key: async (req) => [`a:${req.params.a}`, 'b'] as const });
expectTypeOf(several.handler)
  .parameter(0)
  .parameter(0)
  .toHaveProperty('lock')
  .toEqualTypeOf<Lock>();
expectTypeOf(lockRoute({ locker, key: 'k' }).handler)
  .parameter(0)
  .parameter(0)
  .toHaveProperty('lock')
  .toEqualTypeOf<Lock>();

// With options that let a request pass unlocked, there may be no lock.
lockRoute({ locker, key: (req) => (req.query.free ? null : (req.params.id ?? '')) }).handler(
  (req) => {
    expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
  },
);
lockRoute({ locker, key: async (req) => (req.query.free ? null : 'k') }).handler((req) => {
  expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
});
lockRoute({ locker, key: 'k', onStoreError: 'allow' }).handler((req) => {
  expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
});
lockRoute({
  locker,
  key: (req) => req.path,
  onLocked: (req, res, next, error) => {
    expectTypeOf(req.params.id).toEqualTypeOf<string>();
    expectTypeOf(error.waited).toEqualTypeOf<number>();
    res.status(202).end();
    next();
  },
}).handler((req) => {
  expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
});
lockRoute({ locker, key: 'k', onStoreError: 'reject', onLocked: undefined }).handler((req) => {
  expectTypeOf(req.lock).toEqualTypeOf<Lock>();
});
declare const options: LockRouteOptions;
lockRoute(options).handler((req) => {
  expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
});

// A request of the user's own type.
type Paying = Request<{ id: string }, unknown, { amount: number }>;
const payLock = lockRoute({
  locker,
  key: (req: Paying) => `${req.params.id}:${req.body.amount}`,
  onLocked: (req: Paying, res: Response) => res.json(req.body.amount),
});
payLock.handler((req) => {
  expectTypeOf(req.body.amount).toEqualTypeOf<number>();
  expectTypeOf(req.params).toEqualTypeOf<{ id: string }>();
});
lockRoute<Paying>({ locker, key: (req) => req.params.id }).handler((req) => {
  expectTypeOf(req.body.amount).toEqualTypeOf<number>();
  expectTypeOf(req.lock).toEqualTypeOf<Lock>();
});
orderLock.handler((req: Paying & { lock: Lock }, res: Response<{ ok: boolean }>) => {
  expectTypeOf(req.body.amount).toEqualTypeOf<number>();
  res.json({ ok: true });
});

// Mistakes are told.
// @ts-expect-error a key function must answer
lockRoute({ locker, key: () => {} });
// @ts-expect-error it must not answer nothing
lockRoute({ locker, key: (req) => req.headers.host });
// @ts-expect-error null is no option
lockRoute({ locker, key: 'k', maxHold: null });
// @ts-expect-error a locker is needed
lockRoute({ key: 'k' });
// @ts-expect-error there is no such way
lockRoute({ locker, key: 'k', onStoreError: 'ignore' });
lockRoute({ locker, key: 'k', onStoreError: 'allow' }).handler((req) => {
  // @ts-expect-error there may be none
  req.lock.assertHeld();
});
