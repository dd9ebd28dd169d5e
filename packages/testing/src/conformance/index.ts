import assert from 'node:assert/strict';
import {
  checkOptions,
  LockArgumentError,
  type LockStore,
  type MaybePromise,
  type StoreCapabilities,
} from '@holdfast/core';
import type { VirtualClock } from '../virtual-clock.ts';
import { acquireCases } from './acquire.ts';
import { holdCases } from './hold.ts';
import { Bench, type CaseBody, type ConformanceCase } from './kit.ts';
import { listCases } from './list.ts';
import { operatorCases } from './operators.ts';
import { permitCases } from './permits.ts';
import { queueCases } from './queue.ts';

export type { ConformanceCase } from './kit.ts';

/** Options of {@link storeConformance}. */
export interface StoreConformanceOptions {
  /** Makes the store for one case. Cases use keys of their own, so they may share a server. */
  createStore: () => MaybePromise<LockStore>;
  /** Called after each case, with its store. @default nothing is called */
  disposeStore?: ((store: LockStore) => MaybePromise<void>) | undefined;
  /** What the store is expected to say of itself; what is left out is not checked. @default {} */
  capabilities?: Partial<StoreCapabilities> | undefined;
  /** Whether the store is expected to have `list`; @default not checked */
  lists?: boolean | undefined;
  /** The store's clock, where it runs on a virtual one: no case then takes real time. @default real time */
  clock?: VirtualClock | undefined;
}

/**
 * On a busy machine a lease or a reservation can run out between two steps of a case. If such a run
 * fails it says nothing, and is made again.
 */
async function attempt(body: CaseBody, bench: Bench): Promise<void> {
  for (let left = 10; ; left--) {
    bench.heldUp = false;
    try {
      await body(bench);
      return;
    } catch (error) {
      if (left === 0 || !bench.heldUp) throw error;
    }
  }
}

/**
 * Everything that the `LockStore` contract asks for, as cases for any test runner. A store that
 * cannot notify, cannot list, or cannot let several hold a key is not asked for what follows from it.
 *
 * @example
 * ```ts
 * const cases = storeConformance({ createStore: () => myStore(client) });
 * for (const { name, run } of cases) test(name, run);
 * ```
 */
export function storeConformance(options: StoreConformanceOptions): ConformanceCase[] {
  checkOptions<StoreConformanceOptions>(options, {
    createStore: true,
    disposeStore: true,
    capabilities: true,
    lists: true,
    clock: true,
  });
  const { capabilities = {}, clock } = options;
  if (typeof options.createStore !== 'function') {
    throw new LockArgumentError('`createStore` must be a function that makes a store.');
  }
  const create = (body: CaseBody) => async (): Promise<void> => {
    const store = await options.createStore();
    const bench = new Bench(store, clock);
    try {
      await attempt(body, bench);
    } finally {
      await bench.end();
      await options.disposeStore?.(store);
    }
  };
  const declared: CaseBody = async ({ store }) => {
    for (const [name, value] of Object.entries(capabilities)) {
      assert.deepEqual(store.capabilities[name as keyof StoreCapabilities], value, name);
    }
    const { wakeUp } = store.capabilities;
    assert.equal(typeof store.refresh === 'function', wakeUp === 'notify', 'refresh');
    assert.equal(typeof store.leave === 'function', wakeUp === 'notify', 'leave');
    const lists = typeof store.list === 'function';
    assert.equal(lists, options.lists ?? lists, 'list');
    if (lists && store.encodeKey !== undefined)
      assert.ok(store.decodeKey !== undefined, 'decodeKey');
  };
  const notifying =
    (body: CaseBody): CaseBody =>
    async (bench) => {
      if (bench.store.capabilities.wakeUp === 'notify') await body(bench);
    };
  const listing =
    (body: CaseBody): CaseBody =>
    async (bench) => {
      if (bench.store.list !== undefined) await body(bench);
    };
  const permitting =
    (body: CaseBody): CaseBody =>
    async (bench) => {
      if (bench.store.capabilities.permits === true) await body(bench);
    };
  const always = { ...acquireCases, ...holdCases, ...operatorCases };
  const shared = capabilities.permits === false ? {} : permitCases;
  const queued = capabilities.wakeUp === 'poll' ? {} : queueCases;
  return [
    { name: 'says what it can do', run: create(declared) },
    ...Object.entries(always).map(([name, body]) => ({ name, run: create(body) })),
    ...Object.entries(options.lists === false ? {} : listCases).map(([name, body]) => ({
      name,
      run: create(listing(body)),
    })),
    ...Object.entries(queued).map(([name, body]) => ({ name, run: create(notifying(body)) })),
    ...Object.entries(shared).map(([name, body]) => ({ name, run: create(permitting(body)) })),
  ];
}
