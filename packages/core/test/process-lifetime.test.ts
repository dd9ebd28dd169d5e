import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';

const core = new URL('../src/index.ts', import.meta.url).href;

/** `rest` does not keep the process alive itself; `slowly` answers as a server does, later. */
const PRELUDE = `
  import * as core from ${JSON.stringify(core)};
  const { createLocker, memoryStore } = core;
  const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());
  const say = (...words) => console.log(...words);
  const store = memoryStore();
  const changed = (changes) => new Proxy(store, {
    get: (target, verb) => changes[verb] ?? (typeof target[verb] === 'function' ? target[verb].bind(target) : target[verb]),
  });
  const slowly = (ms) => changed(Object.fromEntries(['acquire', 'renew', 'release'].map((verb) =>
    [verb, async (request) => { await rest(ms); return store[verb](request); }])));
  const locker = createLocker({ store });
  // On a busy machine a short lease may be over: that is not what is asked here.
  locker.on('lost', () => {});
`;

interface Ended {
  readonly code: number | null;
  readonly said: string[];
  readonly errors: string;
}

/** Runs a program to its natural end. */
function run(program: string): Promise<Ended> {
  const args = ['--import', 'tsx', '--conditions=@holdfast/source', '--input-type=module'];
  // Without a stack of its own the child would report where the loader stood.
  const child = spawn(process.execPath, [...args, '--eval', PRELUDE + program], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((resolve) => {
    child.on('close', (code) => {
      resolve({ code, said: said.split('\n').filter((line) => line !== ''), errors });
    });
  });
}

/** A process that ends while something it awaits is open has code 13. */
async function ends(program: string, ...said: string[]): Promise<void> {
  expect(await run(program)).toEqual({ code: 0, said, errors: '' });
}

describe('a process is kept alive', { timeout: 60_000, concurrent: true }, () => {
  test('stays alive for a waiter, also for a lock of its own process', () =>
    ends(
      `
      await locker.lock('a', { ttl: 300, renew: false });
      const held = await locker.lock('b');
      void rest(300).then(() => held.release());
      const list = await locker.lock(['c', 'd']);
      void rest(400).then(() => list.release());
      const other = createLocker({ store });
      const got = await Promise.all([
        locker.lock('a'), locker.lock('b'), other.lock(['d', 'c']), other.withLock('a', () => 1),
      ].map((attempt, index) => attempt.then((lock) => { if (index === 0) void lock.release(); })));
      say('all', got.length);
      `,
      'all 4',
    ));

  test('stays alive for a waiter with a limit until that is reached', () =>
    ends(
      `
      await locker.lock('k');
      for (const one of [locker, createLocker({ store })]) {
        await one.lock('k', { wait: 200 }).catch(({ code }) => say(code));
      }
      `,
      'LOCK_NOT_ACQUIRED',
      'LOCK_NOT_ACQUIRED',
    ));

  test('stays alive for a request under way, even one that is never answered', () =>
    ends(
      `
      const slow = createLocker({ store: slowly(200) });
      const lock = await slow.lock('a');
      say(lock.state);
      await lock.extend();
      say(await lock.release());
      const silent = createLocker({ store: slowly(3_600_000), storeTimeout: 200, ttl: 600 });
      await silent.tryLock('b').catch(({ code }) => say(code));
      await silent.lock('c', { wait: 300 }).catch(({ code }) => say(code));
      `,
      'held',
      'true',
      'LOCK_STORE_UNAVAILABLE',
      'LOCK_STORE_UNAVAILABLE',
    ));

  test('stays alive for an unconfirmed release, even after release() has settled', () =>
    ends(
      `
      let down = true;
      const release = async (request) => {
        if (down) throw new Error('down');
        const freed = store.release(request);
        say('freed', freed);
        return freed;
      };
      const one = createLocker({ store: changed({ release }) });
      const lock = await one.lock('k');
      say(await lock.release());
      void rest(300).then(() => { down = false; });
      `,
      'false',
      'freed true',
    ));

  test('stays alive while it drains', () =>
    ends(
      `
      const lock = await locker.lock('k');
      await locker.close({ drain: 300 });
      say(lock.signal.reason.reason);
      `,
      'closed',
    ));
});

describe('a process is not kept alive', { timeout: 60_000, concurrent: true }, () => {
  test('exits although locks are held and renewed', () =>
    ends(
      `
      globalThis.held = [
        await locker.lock('a'),
        // A slow machine may lose it, of which this process is not to be warned.
        await locker.lock(['b', 'c'], { ttl: 50, maxHold: 60_000, onLost: () => {} }),
        await locker.lock('d', { renew: false, onLost: () => say('lost') }),
      ];
      void locker.withLock('e', () => new Promise(() => {}));
      say('end');
      `,
      'end',
    ));

  test('exits when its locker is idle or closed', () =>
    ends(
      `
      for (let i = 0; i < 10; i++) await locker.withLock('k', () => {});
      const closed = createLocker({ store });
      const locks = [await closed.lock('a'), await closed.lock('b')];
      const waiting = [1, 2, 3].map(() => closed.lock('a').catch(({ code }) => say(code)));
      await new Promise((started) => {
        void closed.withLock('c', () => new Promise(started));
      });
      await closed.close();
      await Promise.all(waiting);
      say(locks.map(({ state }) => state).join());
      `,
      'LOCKER_CLOSED',
      'LOCKER_CLOSED',
      'LOCKER_CLOSED',
      'lost,lost',
    ));

  test('exits although a closed locker could not clean up', () =>
    ends(
      `
      const down = async () => { throw new Error('down'); };
      const one = createLocker({ store: changed({ release: down }), ttl: 3_600_000 });
      const lock = await one.lock('k');
      void lock.release();
      await one.lock('j');
      await one.close();
      say('end');
      `,
      'end',
    ));
});

test('nothing is rejected behind anybody’s back', { timeout: 60_000 }, () =>
  ends(
    `
    process.on('unhandledRejection', (error) => say('unhandled', error));
    const down = async () => { throw new Error('down'); };
    const crash = () => { throw new Error('crash'); };
    const never = () => new Promise(() => {});
    const bad = [
      { acquire: down }, { renew: down }, { release: down }, { acquire: crash }, { renew: crash },
      { release: crash }, { refresh: crash }, { leave: crash }, { acquire: never }, { renew: never },
      { refresh: down }, { leave: down }, { release: never }, { leave: never }, { refresh: never },
    ];
    await Promise.all(bad.map(async (changes, index) => {
      const key = 'k' + index;
      const one = createLocker({ store: changed(changes), ttl: 200, storeTimeout: 50 });
      one.on('lost', () => {});
      const holder = createLocker({ store });
      holder.on('lost', () => {});
      const held = await holder.lock(key, { ttl: 100, renew: false });
      const controller = new AbortController();
      const attempts = [
        one.lock(key, { wait: 300 }), one.lock(key, { signal: controller.signal }), one.tryLock(key),
        one.lock([key, 'l' + index], { wait: 250 }), one.withLock(key, { wait: 400 }, down),
        one.lock('m' + index, { wait: 500 }).then(async (lock) => { await lock.extend().catch(() => {}); await new Promise((go) => setTimeout(go, 300)); await lock.release(); }),
        one.lock('n' + index, { holdAtLeast: 100, wait: 500 }).then((lock) => lock.release()),
        one.lock('o' + index, { owner: 'o', wait: 100 }), one.inspect(key), one.forceRelease(key),
      ];
      setTimeout(() => controller.abort(new Error('enough')), 120);
      await Promise.allSettled(attempts);
      await held.release();
      await one.close({ drain: 20 });
    }));
    say('end');
    `,
    'end',
  ),
);
