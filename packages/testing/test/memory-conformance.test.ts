import { memoryStore } from '@holdfast/core';
import { storeConformance, virtualClock } from '@holdfast/testing';
import { describe, test } from 'vitest';

describe('the memory store', () => {
  const clock = virtualClock();
  const capabilities = {
    fencing: 'strict',
    wakeUp: 'notify',
    minTtl: 10,
    sharedClock: true,
    exactLoss: true,
  } as const;
  const createStore = () => memoryStore({ clock });
  for (const { name, run } of storeConformance({ createStore, capabilities, lists: true, clock })) {
    test(name, run);
  }
});
