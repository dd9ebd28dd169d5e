import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test as plain } from 'vitest';
import { memcachedStore } from '../src/index.ts';
import { exptimeFor, promisedFor } from '../src/lease-time.ts';
import { test, until, type Site } from './kit/site.ts';

/** So many leases, granted one after the other, last as long as promised. */
async function lastAsPromised(site: Site, leases: number, every: number): Promise<void> {
  const store = memcachedStore(site.client());
  const promised = promisedFor(2_000);
  let intime = 0;
  const grant = async (index: number): Promise<void> => {
    await sleep(index * every);
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
  await Promise.all(Array.from({ length: leases }, (_, index) => grant(index)));
  expect(intime).toBeGreaterThan(0);
}

describe('a lease', () => {
  plain('is whole seconds and two more for the server, and 100 ms less for its holder', () => {
    const leases = [2_000, 2_001, 2_999.5, 3_000, 10_000, 86_400_000];
    expect(leases.map(exptimeFor)).toEqual([4, 5, 5, 5, 12, 86_402]);
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
    await lastAsPromised(site, 60, 37);
  });

  test('lasts as long as promised where the server’s clock leaves out a second', async ({
    site,
  }) => {
    /** When the clock has ticked next, in s of the machine's uptime. */
    const tick = async (): Promise<number> => {
      const before = await site.stat('uptime');
      await until('it ticks', async () => (await site.stat('uptime')) > before);
      return Number(process.hrtime.bigint()) / 1e9;
    };
    // It stands still until just before the next second, so that one of the ticks to come is just after one.
    const next = Math.ceil((await tick()) + 1) - 0.005;
    site.server.freeze();
    const stands = (): boolean => Number(process.hrtime.bigint()) / 1e9 < next;
    while (stands()) await sleep(0);
    site.server.thaw();
    await lastAsPromised(site, 80, 100);
  });
});
