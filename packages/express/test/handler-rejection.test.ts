import { lockRoute } from '@holdfast/express';
import { describe, expect, test } from 'vitest';
import { express, post, serve, testLocker } from './kit.ts';

describe('a rejection of a handler', () => {
  test('counts as an error without a reason too', async () => {
    const { locker } = testLocker();
    const app = express();
    const errors: unknown[] = [];
    app.post(
      '/',
      lockRoute({ locker, key: 'k' }).handler(() => Promise.reject()),
    );
    app.use(
      (
        error: unknown,
        _req: express.Request,
        res: express.Response,
        _next: express.NextFunction,
      ) => {
        errors.push(error);
        res.sendStatus(500);
      },
    );
    const { url } = await serve(app);
    expect((await post(url)).status).toBe(500);
    expect(errors).toEqual([expect.any(Error)]);
  });

  test('reaches the error handlers as the very same error', async () => {
    const { locker } = testLocker();
    const app = express();
    const errors: unknown[] = [];
    const [thrown, rejected] = [new Error('thrown'), new Error('rejected')];
    const lock = lockRoute({ locker, key: 'k' });
    app.post(
      '/thrown',
      lock.handler(() => {
        throw thrown;
      }),
    );
    app.post(
      '/rejected',
      lock.handler(async () => Promise.reject(rejected)),
    );
    app.use(
      (
        error: unknown,
        _req: express.Request,
        res: express.Response,
        _next: express.NextFunction,
      ) => {
        errors.push(error);
        res.sendStatus(500);
      },
    );
    const { url } = await serve(app);
    for (const way of ['thrown', 'rejected'])
      expect((await post(`${url}/${way}`)).status).toBe(500);
    expect(errors[0]).toBe(thrown);
    expect(errors[1]).toBe(rejected);
    expect(await locker.inspect('k')).toBeNull();
  });
});
