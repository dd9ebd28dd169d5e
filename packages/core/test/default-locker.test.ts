import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  createLocker,
  currentLock,
  lock,
  LockArgumentError,
  LockReentryError,
  setDefaultLocker,
  tryLock,
  tryWithLock,
  withLock,
  type Locker,
} from '../src/index.ts';
import { rejection, settled } from './kit.ts';

type Core = typeof import('../src/index.ts');

/** Another copy of the package, as a program has that both imports and requires it. */
async function anotherCopy(): Promise<Core> {
  vi.resetModules();
  return import('../src/index.ts');
}

const warnings: { name: string; code?: string }[] = [];
const note = (warning: Error): void => {
  warnings.push(warning);
};

beforeEach(() => {
  setDefaultLocker(undefined);
  process.on('warning', note);
});

afterEach(() => {
  process.off('warning', note);
  warnings.length = 0;
  setDefaultLocker(undefined);
});

describe('the default locker', () => {
  // First of all: it warns once in the life of a process.
  test('uses memory, with one warning, when nobody set one', async () => {
    const held = await lock('k');
    expect(await tryLock('k')).toBeNull();
    expect(await tryWithLock('k', () => 1)).toEqual({ acquired: false });
    await held.release();
    expect(await withLock('k', async ({ key }) => key)).toBe('k');
    setDefaultLocker(undefined);
    await (await lock('k')).release();
    await settled();
    expect(warnings.filter(({ name }) => name === 'HoldfastWarning')).toHaveLength(1);
    expect(warnings[0]?.code).toMatch(/^HOLDFAST_/);
  });

  test('serves lock, tryLock, withLock and tryWithLock once it was set', async () => {
    const locker = createLocker({ name: 'mine' });
    const keys: string[] = [];
    locker.on('acquired', ({ key, locker: name }) => keys.push(`${name} ${key}`));
    setDefaultLocker(locker);
    const a = await lock('a');
    const b = await tryLock('b');
    await withLock('c', () => {});
    await withLock('d', { wait: 5 }, () => {});
    await tryWithLock('e', () => {});
    await tryWithLock('f', { ttl: 500 }, () => {});
    expect(keys).toEqual(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => `mine ${key}`));
    await Promise.all([a.release(), b?.release(), locker.close()]);
    await settled();
    expect(warnings).toEqual([]);
  });

  test('makes its locker on first use, once', async () => {
    const make = vi.fn<() => Locker>(() => createLocker());
    setDefaultLocker(make);
    expect(make).not.toHaveBeenCalled();
    await Promise.all([withLock('a', () => {}), withLock('b', () => {}), tryLock('c')]);
    await tryLock('d');
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('may be set again before its first use, not after', async () => {
    const unused = vi.fn<() => Locker>(() => createLocker());
    setDefaultLocker(unused);
    setDefaultLocker(() => createLocker({ name: 'second' }));
    await withLock('k', () => {});
    expect(unused).not.toHaveBeenCalled();
    expect(() => setDefaultLocker(createLocker())).toThrow(LockArgumentError);
    expect(() => setDefaultLocker(() => createLocker())).toThrow(LockArgumentError);
    setDefaultLocker(undefined);
    setDefaultLocker(createLocker());
    await withLock('k', () => {});
  });

  test('set after memory has served is an error too', async () => {
    await withLock('k', () => {});
    expect(() => setDefaultLocker(createLocker())).toThrow(LockArgumentError);
  });

  test('rejects when making it fails, and makes it at the next use', async () => {
    let healthy = false;
    setDefaultLocker(() => {
      if (!healthy) throw new Error('no configuration yet');
      return createLocker();
    });
    for (const attempt of [
      () => lock('k'),
      () => tryLock('k'),
      () => withLock('k', () => {}),
      () => tryWithLock('k', () => {}),
    ]) {
      expect(await rejection(attempt())).toMatchObject({ message: 'no configuration yet' });
    }
    healthy = true;
    await withLock('k', () => {});
  });

  test('rejects with an argument error when the function returns no locker', async () => {
    for (const made of [undefined, null, {}, Promise.resolve(createLocker())]) {
      setDefaultLocker(() => made as never);
      expect(await rejection(lock('k'))).toBeInstanceOf(LockArgumentError);
      setDefaultLocker(undefined);
    }
  });

  test('rejects, and does not throw, for what is wrong', async () => {
    setDefaultLocker(createLocker());
    expect(await rejection(lock(''))).toBeInstanceOf(LockArgumentError);
    expect(await rejection(withLock('k', undefined as never))).toBeInstanceOf(LockArgumentError);
    expect(await rejection(tryLock('k', { ttl: 0 }))).toBeInstanceOf(LockArgumentError);
  });
});

describe('two copies of the package', () => {
  test('share the default locker', async () => {
    const copy = await anotherCopy();
    expect(copy.lock).not.toBe(lock);
    setDefaultLocker(createLocker());
    const held = await copy.lock('k');
    expect(await tryLock('k')).toBeNull();
    expect(() => copy.setDefaultLocker(createLocker())).toThrow(LockArgumentError);
    await held.release();
  });

  test('share the async context', async () => {
    const copy = await anotherCopy();
    const locker = createLocker();
    await locker.withLock('k', async (outer) => {
      expect(copy.currentLock()).toBe(outer);
      const other = copy.createLocker();
      await other.withLock('j', async (inner) => {
        expect(currentLock()).toBe(inner);
        expect(currentLock('k')).toBe(outer);
        expect(await rejection(locker.lock('k'))).toBeInstanceOf(LockReentryError);
      });
    });
  });

  test('know each other’s errors', async () => {
    const copy = await anotherCopy();
    const theirs = await rejection(copy.createLocker().lock(''));
    const ours = await rejection(createLocker().lock(''));
    expect(copy.LockArgumentError).not.toBe(LockArgumentError);
    expect(theirs).toBeInstanceOf(LockArgumentError);
    expect(ours).toBeInstanceOf(copy.LockArgumentError);
    expect(ours).toBeInstanceOf(copy.LockError);
    expect(ours).not.toBeInstanceOf(copy.LockReentryError);
  });

  test('contend on one store', async () => {
    const copy = await anotherCopy();
    const store = copy.memoryStore();
    const held = await createLocker({ store }).lock('k');
    expect(await copy.createLocker({ store }).tryLock('k')).toBeNull();
    await copy.createLocker({ store }).forceRelease('k');
    expect(held.signal.reason).toBeInstanceOf(copy.LockLostError);
  });
});
