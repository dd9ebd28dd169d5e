import { createLocker, memoryStore } from '@holdfast/core';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, onTestFinished, test } from 'vitest';
import { board, type BoardAction, type BoardRelease } from '../src/index.ts';
import type { BoardState, LockDetails, LockPageReply } from '../src/protocol.ts';
import { askRelease, get, hold, makeBoard, makeLocker } from './kit.ts';

const json = async <T>(response: Promise<Response>): Promise<T> => (await response).json() as T;

/** The first picture that is sent. */
async function firstState(made: ReturnType<typeof board>): Promise<BoardState> {
  const response = await get(made, '/locks/api/events');
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The stream ended without a picture: ${text}`);
    text += new TextDecoder().decode(value);
    const [, data] = /event: state\ndata: (.*)\n\n/.exec(text) ?? [];
    if (data === undefined) continue;
    await reader.cancel();
    return JSON.parse(data) as BoardState;
  }
}

describe('the page', () => {
  test('has a strict policy and nothing from elsewhere', async () => {
    const made = makeBoard({ lockers: makeLocker() });
    for (const path of ['/', '/app.js', '/app.css', '/icon.svg', '/api/locks', '/nothing/']) {
      const { headers } = await get(made, `/locks${path}`);
      const policy = headers.get('content-security-policy');
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toContain('unsafe');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
    const page = await (await get(made, '/locks/')).text();
    const addresses = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address);
    expect(addresses).toEqual(['./icon.svg', './app.css', './app.js']);
    const script = await (await get(made, '/locks/app.js')).text();
    expect(script.length).toBeGreaterThan(5_000);
    expect(script).not.toMatch(/\bimport\s*[({"']/);
  });

  test('is sent again only when it has changed', async () => {
    const made = makeBoard({ lockers: makeLocker() });
    const etag = (await get(made, '/locks/app.js')).headers.get('etag') as string;
    const again = await get(made, '/locks/app.js', { 'if-none-match': etag });
    expect(again.status).toBe(304);
  });

  test.each(['/locks', '/a/deep/path', ''])('is found at %s/, wherever that is', async (path) => {
    const made = makeBoard({ lockers: makeLocker() });
    expect((await get(made, `${path}/`)).headers.get('content-type')).toContain('text/html');
    expect((await get(made, `${path}/api/locks`)).status).toBe(200);
  });

  test.each(['/locks', '/a/deep/path'])('without its slash, %s leads to it', async (path) => {
    const { status, headers } = await get(makeBoard({ lockers: makeLocker() }), path);
    expect(status).toBe(308);
    const location = new URL(headers.get('location') as string, `http://ops.example${path}`);
    expect(location.pathname).toBe(`${path}/`);
  });

  test('with a base path answers nothing else', async () => {
    const made = makeBoard({ lockers: makeLocker(), basePath: '/locks' });
    expect((await get(made, '/locks/')).status).toBe(200);
    for (const path of ['/', '/other/', '/locks/x', '/locksmith/', '/x/api/locks']) {
      expect((await get(made, path)).status).toBe(404);
    }
  });

  test('only reads by GET', async () => {
    const made = makeBoard({ lockers: makeLocker() });
    const asked = await made(
      new Request('http://ops.example/locks/api/locks', { method: 'DELETE' }),
    );
    expect(asked.status).toBe(405);
    expect((await get(made, '/locks/api/release')).status).toBe(405);
  });
});

describe('the list', () => {
  test('gives 100,000 locks page by page, each once', async () => {
    const locker = makeLocker();
    await hold(locker, 100_000);
    const made = makeBoard({ lockers: locker });
    const seen = new Set<string>();
    let pages = 0;
    let cursor: string | undefined;
    do {
      const query = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page = await json<LockPageReply>(get(made, `/locks/api/locks?limit=500${query}`));
      expect(page.locks.length).toBeLessThanOrEqual(500);
      for (const { key } of page.locks) seen.add(key);
      cursor = page.cursor;
      pages += 1;
    } while (cursor !== undefined);
    expect(seen.size).toBe(100_000);
    expect(pages).toBeGreaterThanOrEqual(200);
  });

  test('tells who holds, since when, and how many wait', async () => {
    const locker = makeLocker({ label: 'billing-3' });
    const before = Date.now();
    const lock = await locker.lock('invoice:42');
    locker.lock('invoice:42').catch(() => {});
    const { locks } = await json<LockPageReply>(
      get(makeBoard({ lockers: locker }), '/locks/api/locks'),
    );
    expect(locks).toEqual([
      {
        locker: 'locks',
        id: 'invoice:42',
        key: 'invoice:42',
        label: 'billing-3',
        token: lock.fencingToken,
        since: expect.any(Number),
        remaining: expect.any(Number),
        waiters: 1,
      },
    ]);
    // By the store's clock, which need not be this one's to the ms.
    expect(Math.abs((locks[0]?.since ?? 0) - before)).toBeLessThan(10_000);
  });

  test('is filtered by what key or holder have in them', async () => {
    const locker = makeLocker();
    await hold(locker, 300);
    await locker.lock('Report:nightly');
    const made = makeBoard({ lockers: locker });
    const keys = async (filter: string): Promise<string[]> =>
      (await json<LockPageReply>(get(made, `/locks/api/locks?filter=${filter}`))).locks.map(
        ({ key }) => key,
      );
    expect(await keys('report')).toEqual(['Report:nightly']);
    expect(await keys('order:29')).toHaveLength(10);
    expect(await keys('web-1')).toHaveLength(301);
    expect(await keys('nothing')).toEqual([]);
  });

  test('is of the locker that is asked for', async () => {
    const [one, two] = [makeLocker(), makeLocker()];
    await one.lock('a');
    await two.lock('b');
    const made = makeBoard({ lockers: { orders: one, jobs: two } });
    const of = (name: string): Promise<LockPageReply> =>
      json(get(made, `/locks/api/locks?locker=${name}`));
    expect((await of('orders')).locks.map(({ key }) => key)).toEqual(['a']);
    expect((await of('jobs')).locks.map(({ key }) => key)).toEqual(['b']);
    expect((await get(made, '/locks/api/locks?locker=other')).status).toBe(400);
  });

  test.each(['limit=-1', 'limit=x', 'cursor=nonsense', 'limit=1e99'])(
    'with bad arguments is an answer, not a failure (%s)',
    async (query) => {
      const locker = makeLocker();
      await locker.lock('a');
      const { status } = await get(makeBoard({ lockers: locker }), `/locks/api/locks?${query}`);
      expect([200, 400]).toContain(status);
    },
  );
});

test('a lock is shown with who waits for it, and whether one may release it', async () => {
  const locker = makeLocker();
  await locker.lock('k');
  locker.lock('k', { label: 'worker-9' }).catch(() => {});
  const made = makeBoard({ lockers: locker, authorize: () => true });
  const details = await json<LockDetails>(get(made, '/locks/api/lock?locker=locks&id=k'));
  expect(details).toMatchObject({ key: 'k', waiters: 1, mayRelease: true });
  expect(details.queue).toHaveLength(1);
  expect((await get(made, '/locks/api/lock?locker=locks&id=free')).status).toBe(404);
});

test('a lock with several holders is shown with all of them, and found by each', async () => {
  const locker = makeLocker();
  const labels = ['worker-1', 'worker-2', 'worker-3'];
  for (const label of labels) await locker.lock('pool', { limit: 3, label });
  await locker.lock('alone');
  const made = makeBoard({ lockers: locker });
  const { locks } = await json<LockPageReply>(get(made, '/locks/api/locks'));
  const holders = Object.fromEntries(locks.map((lock) => [lock.key, lock.holders]));
  expect(holders).toEqual({ alone: undefined, pool: 3 });
  const found = await json<LockPageReply>(get(made, '/locks/api/locks?filter=WORKER-3'));
  expect(found.locks.map(({ key }) => key)).toEqual(['pool']);
  const { heldBy } = await json<LockDetails>(get(made, '/locks/api/lock?locker=locks&id=pool'));
  expect(heldBy.map(({ label }) => label).toSorted()).toEqual(labels);
  expect(new Set(heldBy.map(({ token }) => token)).size).toBe(3);
});

test('the picture has what is waited for first, and the hottest keys', async () => {
  const locker = makeLocker();
  const made = makeBoard({ lockers: locker });
  await locker.lock('calm');
  await locker.lock('busy');
  for (let count = 0; count < 3; count++) locker.lock('busy').catch(() => {});
  await locker.lock('calm', { wait: 30 }).catch(() => {});
  const state = await firstState(made);
  expect(state.lockers).toMatchObject([{ name: 'locks', held: 2, complete: true }]);
  expect(state.stuck.map(({ key, waiters }) => [key, waiters])).toEqual([['busy', 3]]);
  expect(state.waiting).toBe(3);
  expect(state.hottest.map(({ key }) => key).toSorted()).toEqual(['busy', 'calm']);
});

test('a store that cannot list still shows what happens', async () => {
  const store = memoryStore();
  Object.defineProperty(store, 'list', { value: undefined });
  const locker = createLocker({ store });
  onTestFinished(() => locker.close());
  const state = await firstState(makeBoard({ lockers: locker }));
  expect(state.lockers).toMatchObject([{ name: 'locks', complete: false }]);
  expect(state.lockers[0]?.held).toBeUndefined();
});

describe('a release', () => {
  const asked = { locker: 'locks', id: 'order:42', reason: 'INC-7: it hangs' };

  test('is refused to everybody unless the application says who may', async () => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    expect((await askRelease(makeBoard({ lockers: locker }), asked)).status).toBe(403);
    expect(lock.state).toBe('held');
  });

  test('is carried out for whom the application lets, and told with its reason', async () => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const releases: BoardRelease[] = [];
    const published: unknown[] = [];
    const listener = (release: unknown): void => void published.push(release);
    subscribe('holdfast:board-release', listener);
    onTestFinished(() => void unsubscribe('holdfast:board-release', listener));
    const actions: BoardAction[] = [];
    const made = makeBoard({
      lockers: locker,
      authorize: async (request, action) => {
        actions.push(action);
        return request.headers.get('x-role') === 'operator';
      },
      onRelease: (release) => releases.push(release),
    });
    expect((await askRelease(made, asked)).status).toBe(403);
    expect(lock.state).toBe('held');
    const allowed = await askRelease(made, asked, { 'x-role': 'operator' });
    expect(await allowed.json()).toEqual({ released: true });
    expect(lock.state).toBe('lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
    expect(actions[0]).toEqual({ type: 'release', locker: 'locks', key: 'order:42' });
    expect(releases).toMatchObject([
      { key: 'order:42', reason: 'INC-7: it hangs', released: true, label: 'web-1:17' },
    ]);
    expect(published).toEqual(releases);
  });

  test.each([
    ['says anything but true', (() => 'yes') as never],
    [
      'throws',
      (): never => {
        throw new Error('no session');
      },
    ],
    [
      'rejects',
      async (): Promise<never> => {
        throw new Error('no session');
      },
    ],
  ])('is refused where authorize %s', async (_, authorize) => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    expect((await askRelease(makeBoard({ lockers: locker, authorize }), asked)).status).toBe(403);
    expect(lock.state).toBe('held');
  });

  test.each([
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['a site next door', { 'sec-fetch-site': 'same-site' }],
    ['another origin', { origin: 'https://evil.example' }],
    ['no origin at all', { origin: 'null' }],
    ['a form', { 'content-type': 'text/plain' }],
    ['a script without the header', { 'x-holdfast-board': '' }],
  ])('is refused to %s, whoever the visitor is', async (_, headers) => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const made = makeBoard({ lockers: locker, authorize: () => true });
    expect((await askRelease(made, asked, headers)).status).toBe(403);
    expect(lock.state).toBe('held');
  });

  test.each([
    ['no reason', { ...asked, reason: '  ' }, 422],
    ['no lock', { locker: 'locks', reason: 'x' }, 400],
    ['another locker', { ...asked, locker: 'other' }, 404],
    ['text', 'nonsense', 400],
    ['nothing', 'null', 400],
    ['too much', { ...asked, reason: 'x'.repeat(300_000) }, 400],
  ])('is refused with %s', async (_, body, status) => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const made = makeBoard({ lockers: locker, authorize: () => true });
    expect((await askRelease(made, body)).status).toBe(status);
    expect(lock.state).toBe('held');
  });
});

describe('an onRelease that fails', () => {
  test.each([
    [
      'throws',
      (): never => {
        throw new Error('the audit log is away');
      },
    ],
    ['rejects', () => Promise.reject(new Error('the audit log is away'))],
  ])('does not hide the release, and is a warning: it %s', async (_, onRelease) => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const warned = new Promise((resolve) => locker.on('warning', resolve));
    const made = makeBoard({ lockers: locker, authorize: () => true, onRelease });
    const answer = await askRelease(made, { locker: 'locks', id: 'order:42', reason: 'INC-7' });
    expect([answer.status, await answer.json()]).toEqual([200, { released: true }]);
    expect(lock.state).toBe('lost');
    expect(await warned).toMatchObject({
      code: 'HOLDFAST_ON_RELEASE_FAILED',
      message: expect.stringContaining('the audit log is away'),
    });
  });
});

describe('with redact', () => {
  const redact = (key: string): string => key.replace(/\d+/, '…');

  test.each([
    [
      'throws',
      (key: string): never => {
        throw new Error(`cannot read ${key}`);
      },
    ],
    ['answers nothing', (() => undefined) as never],
  ])('that %s nothing of a key is shown, and the page goes on', async (_, failing) => {
    const locker = makeLocker();
    const made = makeBoard({ lockers: locker, redact: failing });
    await locker.lock('customer:4711');
    locker.lock('customer:4711').catch(() => {});
    const page = await (await get(made, '/locks/api/locks')).text();
    const state = await firstState(made);
    expect(state.stuck).toMatchObject([{ key: '(hidden)', waiters: 1 }]);
    expect(page + JSON.stringify(state)).not.toContain('4711');
  });

  test('a key never leaves the server, by any route', async () => {
    const locker = makeLocker();
    await locker.lock('customer:4711');
    locker.lock('customer:4711').catch(() => {});
    await locker.tryLock('customer:4711');
    const made = makeBoard({ lockers: locker, redact, authorize: () => true });
    const texts: string[] = [];
    const page = await get(made, '/locks/api/locks');
    texts.push(await page.text());
    const { locks } = JSON.parse(texts[0] as string) as LockPageReply;
    expect(locks[0]?.key).toBe('customer:…');
    const id = locks[0]?.id as string;
    texts.push(await (await get(made, `/locks/api/lock?locker=locks&id=${id}`)).text());
    texts.push(JSON.stringify(await firstState(made)));
    expect(texts.join('\n')).not.toContain('4711');
    expect(Buffer.from(id, 'base64url').toString()).not.toContain('4711');
  });

  test('a filter finds only what is shown, so that keys cannot be guessed', async () => {
    const locker = makeLocker();
    await locker.lock('customer:4711');
    const made = makeBoard({ lockers: locker, redact });
    const found = async (filter: string): Promise<number> =>
      (await json<LockPageReply>(get(made, `/locks/api/locks?filter=${filter}`))).locks.length;
    expect(await found('customer')).toBe(1);
    expect(await found('4711')).toBe(0);
  });

  test('a lock is still released, by the name that the board has given it', async () => {
    const locker = makeLocker();
    const lock = await locker.lock('customer:4711');
    const made = makeBoard({
      lockers: locker,
      redact,
      authorize: (_, { key }) => key === 'customer:4711',
    });
    const { locks } = await json<LockPageReply>(get(made, '/locks/api/locks'));
    const id = locks[0]?.id as string;
    const asked = { locker: 'locks', reason: 'INC-7' };
    expect((await askRelease(made, { ...asked, id: 'customer:4711' })).status).toBe(404);
    expect((await askRelease(made, { ...asked, id: `${id.slice(0, -2)}AA` })).status).toBe(404);
    expect((await askRelease(made, { ...asked, id })).status).toBe(200);
    expect(lock.state).toBe('lost');
  });

  test('processes with the same secret understand each other', async () => {
    const locker = makeLocker();
    await locker.lock('customer:4711');
    const options = { lockers: locker, redact, secret: 'shared' };
    const { locks } = await json<LockPageReply>(get(makeBoard(options), '/locks/api/locks'));
    const path = `/locks/api/lock?locker=locks&id=${locks[0]?.id}`;
    expect((await get(makeBoard(options), path)).status).toBe(200);
    expect((await get(makeBoard({ ...options, secret: 'other' }), path)).status).toBe(400);
  });
});

describe('a key that an address cannot hold', () => {
  test.each([
    ['is long', 'order:'.repeat(10_000)],
    ['is of letters that take many characters', '€'.repeat(20_000)],
    ['has half a letter', 'half \ud83d of it'],
    ['looks like such an id', `~${'a'.repeat(43)}`],
  ])('which %s, is seen and released by a short id', async (_, key) => {
    for (const redact of [undefined, (given: string) => given.slice(0, 3)]) {
      const locker = makeLocker();
      await locker.lock('another');
      const lock = await locker.lock(key);
      const made = makeBoard({
        lockers: locker,
        redact,
        authorize: (__, asked) => asked.key === key,
      });
      const { locks } = await json<LockPageReply>(get(made, '/locks/api/locks'));
      const id = locks.find((row) => row.token === lock.fencingToken)?.id ?? '';
      const query = new URLSearchParams({ id }).toString();
      expect(query.length).toBeLessThan(2_100);
      const details = await json<LockDetails>(get(made, `/locks/api/lock?${query}`));
      expect(details).toMatchObject({ id, token: lock.fencingToken, mayRelease: true });
      const asked = await askRelease(made, { locker: 'locks', id, reason: 'INC-7' });
      expect([asked.status, lock.state]).toEqual([200, 'lost']);
    }
  });

  test('has an id that tells nothing where keys are redacted', async () => {
    const locker = makeLocker();
    const key = '4711'.repeat(5_000);
    await locker.lock(key);
    const ids = await Promise.all(
      [undefined, () => '…', () => '…'].map(async (redact) => {
        const made = makeBoard({ lockers: locker, redact });
        return (await json<LockPageReply>(get(made, '/locks/api/locks'))).locks[0]?.id;
      }),
    );
    expect(new Set(ids).size).toBe(3);
  });
});

test('an option that does not exist is refused, for a slip in `redact` would show every key', () => {
  const options = { lockers: makeLocker(), redcat: () => '…' };
  expect(() => board(options)).toThrow(/no option `redcat`. Did you mean `redact`/);
});

test.each([[{}], [{ lockers: [] }], [{ lockers: { a: {} } }], [{ lockers: Array(1) }]])(
  'lockers that are none are refused (%j)',
  (options) => {
    expect(() => board(options as never)).toThrow(TypeError);
    expect(() => board(options as never)).toThrow(/^(What )?board\(\)/);
  },
);
