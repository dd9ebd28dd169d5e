import { createLocker, type Lock } from '@holdfast/core';
import { getLock, lockRoute, type LockRouteOptions, type PathParams } from '@holdfast/express';
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

// With a path, its parameters are known and no others.
const pathLock = lockRoute<'/shops/:shop/orders/:id'>({
  locker,
  key: (req) => {
    expectTypeOf(req.params).toEqualTypeOf<{ shop: string; id: string }>();
    // @ts-expect-error a misspelt parameter
    req.params.ids;
    return `order:${req.params.shop}:${req.params.id}`;
  },
  holdAtLeast: async (req) => req.params.id.length,
});
app.post(
  '/shops/:shop/orders/:id/ship',
  pathLock.handler((req) => {
    expectTypeOf(req.lock).toEqualTypeOf<Lock>();
    // @ts-expect-error a misspelt parameter
    req.params.shops;
  }),
);
expectTypeOf<PathParams<'/a/:x-:y.:z'>>().toEqualTypeOf<{ x: string; y: string; z: string }>();
expectTypeOf<PathParams<'/a/:x/:y?'>>().toEqualTypeOf<{ x: string; y?: string | undefined }>();
expectTypeOf<PathParams<'/a/:x(\\d+)/b'>>().toEqualTypeOf<{ x: string }>();
expectTypeOf<PathParams<'/files/*path'>>().toEqualTypeOf<{ path: string[] }>();
expectTypeOf<PathParams<'/:user/*path/:end'>>().toEqualTypeOf<{
  user: string;
  path: string[];
  end: string;
}>();
expectTypeOf<PathParams<'/orders'>>().toEqualTypeOf<{}>();
expectTypeOf<PathParams<string>>().toEqualTypeOf<Record<string, string>>();
expectTypeOf<PathParams<'/a{/:x}'>['x']>().toEqualTypeOf<string | undefined>();
lockRoute<'/files/*path'>({
  locker,
  key: (req) => (req.params.path.length > 1 ? `file:${req.params.path}` : null),
}).handler((req) => {
  expectTypeOf(req.params.path).toEqualTypeOf<string[]>();
  expectTypeOf(req.lock).toEqualTypeOf<Lock | undefined>();
});

// The options of a lock, for all requests or by the request.
lockRoute({
  locker,
  key: 'k',
  reentry: 'join',
  holdAtLeast: 100,
  maxHold: (req) => Number(req.params.hold),
  owner: (req) => req.path,
  renew: true,
  onLost: (error) => expectTypeOf(error.reason).toBeString(),
});
// @ts-expect-error the signal is its own
lockRoute({ locker, key: 'k', signal: AbortSignal.timeout(1) });
// @ts-expect-error there is no such way to enter again
lockRoute({ locker, key: 'k', reentry: 'maybe' });

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
