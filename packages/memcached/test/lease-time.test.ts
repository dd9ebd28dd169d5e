import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test as plain } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { exptimeFor, promisedFor } from '../src/lease-time.ts';
import { test } from './kit/site.ts';

describe('a lease', () => {
  plain('is whole seconds and one more for the server, and 100 ms less for its holder', () => {
    const leases = [2_000, 2_001, 2_999.5, 3_000, 10_000, 86_400_000];
    expect(leases.map(exptimeFor)).toEqual([3, 4, 4, 4, 11, 86_401]);
    expect(leases.map(promisedFor)).toEqual([1_900, 2_900, 2_900, 2_900, 9_900, 86_399_900]);
  });

  plain('is never one that memcached takes for none or for a date', () => {
    for (const ms of [-1_000, 0, 0.1, 1, 86_400_000]) {
      expect(Number.isInteger(exptimeFor(ms))).toBe(true);
      expect(exptimeFor(ms)).toBeGreaterThanOrEqual(1);
      expect(exptimeFor(ms)).toBeLessThan(2_592_000);
    }
  });

  test('lasts as long as promised, in whatever phase of the server’s second', async ({ site }) => {
    const store = memcachedStore(site.client());
    const promised = promisedFor(2_000);
    let intime = 0;
    const grant = async (index: number): Promise<void> => {
      await sleep(index * 37);
      const key = `key:${index}`;
      const common = { key, id: key, owner: key, label: '', client: '', ttl: 2_000 };
      const grantedBefore = performance.now();
      await store.acquire({ ...common, tokens: 1, wait: false });
      await sleep(promised - 60);
      const found = await site.value(key);
      // A look that took too long says nothing.
      if (performance.now() - grantedBefore > promised) return;
      intime += 1;
      expect(found).toBeDefined();
    };
    await Promise.all(Array.from({ length: 60 }, (_, index) => grant(index)));
    expect(intime).toBeGreaterThan(0);
  });
});
