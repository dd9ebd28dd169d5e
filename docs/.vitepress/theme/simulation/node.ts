/**
 * What the engine and the simulation take from Node, for a worker of a browser: as much as a simulated
 * run needs. The site's bundler puts this file in the place of every `node:` module; it also makes Node's
 * globals, so it is to be imported before all that looks for them.
 */

/** A store that code sees which is called, and not what that awaits: no simulated caller asks under a lock. */
export class AsyncLocalStorage<T> {
  private store: T | undefined;

  getStore(): T | undefined {
    return this.store;
  }

  run<A extends unknown[], R>(store: T, run: (...args: A) => R, ...args: A): R {
    const outer = this.store;
    this.store = store;
    try {
      return run(...args);
    } finally {
      this.store = outer;
    }
  }
}

/** Nobody listens on channels here. */
export function channel(): unknown {
  return { hasSubscribers: false, publish: () => {}, subscribe: () => {}, unsubscribe: () => {} };
}

export const setMaxListeners = (): void => {};
export const hostname = (): string => 'browser';
export const uptime = (): number => performance.now() / 1_000;

function unused(): never {
  throw new Error('A simulation has no use for this.');
}
/** All chance comes from the seed, no key is long enough to be hashed, and no store is tested here. */
export {
  unused as createHash,
  unused as randomBytes,
  unused as randomFillSync,
  unused as randomUUID,
  unused as setTimeout,
  unused as default,
};

/** The methods of Node's buffers that ids are made with. */
class Bytes extends Uint8Array {
  static alloc(length: number): Bytes {
    return new Bytes(length);
  }

  static byteLength(text: string): number {
    return new TextEncoder().encode(text).length;
  }

  writeUInt32LE(value: number, at: number): void {
    new DataView(this.buffer).setUint32(at, value, true);
  }

  override toString(): string {
    const text = btoa(String.fromCharCode(...this));
    return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  }
}

const turns: (() => void)[] = [];
const { port1, port2 } = new MessageChannel();
port1.addEventListener('message', () => turns.shift()?.());
port1.start();

/** Calls back when no microtask is left. */
function nextTurn(callback: () => void): void {
  turns.push(callback);
  port2.postMessage(undefined);
}
export { nextTurn as setImmediate };

/** Rejections that nobody handles. Browsers tell of them at once, and take it back if somebody does. */
const rejections = new Map<Promise<unknown>, unknown>();
globalThis.addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  rejections.set(event.promise, event.reason);
});
globalThis.addEventListener('rejectionhandled', ({ promise }) => rejections.delete(promise));

const process = {
  pid: 1,
  nextTick: nextTurn,
  emitWarning: (): void => {},
  on: (): void => rejections.clear(),
  off(_: 'unhandledRejection', listener: (reason: unknown) => void): void {
    for (const reason of rejections.values()) listener(reason);
  },
};

Object.assign(globalThis, { process, Buffer: Bytes, setImmediate: nextTurn });
