import { record, type HistoryOptions } from '@holdfast/simulation';
import { mutants } from '@holdfast/simulation/mutants';
import { useBrowser } from '@holdfast/test-servers/browser';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUGS } from '../.vitepress/theme/simulation/bugs.ts';
import { timelineOf } from '../.vitepress/theme/simulation/timeline.ts';
import { serveSite } from '../site/serve.ts';
import { newestNode } from '../../newest-node/src/releases.ts';

const open = useBrowser();
let site: Awaited<ReturnType<typeof serveSite>>;
let out: string;

beforeAll(async () => {
  out = await mkdtemp(join(tmpdir(), 'holdfast-page-'));
  const script = new URL('../site/build.ts', import.meta.url).pathname;
  const args = ['--import', 'tsx', script, '--page', 'simulation', '--out', out];
  // Node 20 needs half as long again; what comes out is the same.
  await promisify(execFile)(newestNode ?? process.execPath, args);
  site = await serveSite(out);
}, 600_000);

afterAll(async () => {
  site?.close();
  await rm(out, { recursive: true, force: true });
});

const seedOf = (page: Page) => page.getByRole('spinbutton', { name: 'Seed' });

async function visit(width = 1280): Promise<Page> {
  const page = await open(`${site.url}simulation`, { width, within: site.url });
  await seedOf(page).waitFor();
  return page;
}

interface Choices {
  readonly seed: number;
  readonly processes?: number;
  readonly keys?: number;
  readonly bug?: string;
}

async function run(page: Page, { seed, processes, keys, bug }: Choices, button = 'Run this seed') {
  await seedOf(page).fill(String(seed));
  if (processes !== undefined)
    await page.getByRole('combobox', { name: 'Processes' }).selectOption(String(processes));
  if (keys !== undefined)
    await page.getByRole('combobox', { name: 'Keys' }).selectOption(String(keys));
  await page.getByRole('combobox', { name: 'Planted bug' }).selectOption(bug ?? '');
  await page.getByRole('button', { name: button }).click();
  const status = page.getByRole('status');
  await status.getByText(/No violation|Caught|could not run/).waitFor();
  return status.innerText();
}

/** How many events there are, and the fingerprint of all of them, as the page and as Node has it. */
async function summary(seed: number, options: HistoryOptions): Promise<string> {
  const { events, fingerprint } = await record(seed, options);
  return `${events.length} events, fingerprint ${fingerprint}.`;
}

/** Which bars are drawn as wrong, of these that are held, where something is said of `limit-2`. */
function wrongOf(invariant: 'weight' | 'belief', keys: readonly string[]): number[] {
  const at = 10;
  const message = `${invariant}: holdfast:limit-2: 3 of 2`;
  const begin = { at: 0, kind: 'begin', processes: ['process-0'], keys, calmAt: 100 } as const;
  const held = keys.map((key, index) => {
    const facts = { process: 'process-0', key, lease: index + 1, token: index + 1 };
    const sharing = key.startsWith('limit') ? { limit: 2, weight: 1, shared: false } : undefined;
    const times = { at: 0, signalPoint: 50, until: 60 };
    return { kind: 'held', ...facts, ...times, ...(sharing && { sharing }) } as const;
  });
  const { violation } = timelineOf([begin, ...held, { at, kind: 'violation', invariant, message }]);
  return [...(violation?.leases ?? [])];
}

const lines = (page: Page) => page.getByRole('listbox').getByRole('option');

describe('the page of the simulation', { timeout: 120_000 }, () => {
  test('finds no violation in the engine as it is', async () => {
    const page = await visit();
    expect(await run(page, { seed: 3 })).toContain('No violation in seed 3.');
    expect(await page.locator('.lease').count()).toBeGreaterThan(50);
    expect(await page.locator('.violation').count()).toBe(0);
    expect(await lines(page).count()).toBeGreaterThan(100);
  });

  test('has the histories that Node has', async () => {
    const page = await visit();
    for (const seed of [1, 7, 42, 1_234]) {
      expect(await run(page, { seed })).toContain(await summary(seed, {}));
    }
    const sizes = { processes: 2, keys: 1 };
    expect(await run(page, { seed: 5, ...sizes })).toContain(await summary(5, sizes));
  });

  for (const { name: bug, caughtBy } of BUGS) {
    test(`catches that ${bug}, as Node does`, async () => {
      expect(mutants.find(({ name }) => name === bug)?.caughtBy).toContain(caughtBy);
      const page = await visit();
      const status = await run(page, { seed: 1, bug }, 'Run 100 seeds');
      expect(status).toMatch(new RegExp(`Caught in seed \\d+: ${caughtBy}\\.`));
      const seed = Number(/Caught in seed (\d+)/.exec(status)?.[1]);
      expect(status).toContain(await summary(seed, { bug }));
      expect(await page.locator('.violation').count()).toBeGreaterThan(0);
      // What happened last, and what is shown at first.
      const last = lines(page).last();
      expect(await last.innerText()).toContain(`Violation of ${caughtBy}`);
      expect(await last.getAttribute('aria-selected')).toBe('true');
    });
  }

  test('draws permits beside each other as wrong only where they weigh too much together', () => {
    const keys = ['key-0', 'limit-2', 'limit-2', 'limit-20'];
    expect(wrongOf('weight', keys)).toEqual([2, 3]);
    expect(wrongOf('belief', keys)).toEqual([]);
    expect(wrongOf('belief', keys.slice(1, 2))).toEqual([1]);
  });

  test('can be used, and stopped, while it runs many seeds', async () => {
    const page = await visit();
    await page.getByRole('button', { name: 'Run 100 seeds' }).click();
    await page.locator('progress').waitFor();
    await expect.poll(() => page.locator('progress').getAttribute('value')).not.toBe('0');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Choose a seed and run it.').waitFor();
    expect(await run(page, { seed: 2 })).toContain('No violation in seed 2.');
  });

  test('is read by the keyboard alone, and line and lease are selected together', async () => {
    const page = await visit();
    await seedOf(page).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('No violation').waitFor();
    const list = page.getByRole('listbox');
    await list.focus();
    const selected = list.locator('[aria-selected=true]');
    const before = await selected.innerText();
    await page.keyboard.press('ArrowDown');
    await expect.poll(() => selected.innerText()).not.toBe(before);
    while (!(await selected.innerText()).includes(' holds ')) {
      await page.keyboard.press('ArrowDown');
    }
    await expect.poll(() => page.locator('.lease.selected .signal-point').count()).toBe(1);
    await page.getByRole('group', { name: /^Timeline/ }).focus();
    await page.keyboard.press('ArrowLeft');
    await expect.poll(() => page.locator('.lease.selected').count()).toBe(0);
    await page.getByLabel('Also requests').check();
    await list.getByText('sends acquire').first().waitFor();
  });

  test('fits a phone', async () => {
    const page = await visit(390);
    await run(page, { seed: 1, bug: BUGS[0]?.name ?? '' });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    // The violation is in view, in the timeline and in the list.
    await expect.poll(() => inView(page, '.violation text', '.scroller')).toBe(true);
    await expect.poll(() => inView(page, 'li.violation', '[role=listbox]')).toBe(true);
    for (const button of await page.locator('.simulation button').all()) {
      expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(40);
    }
  });
});

async function inView(page: Page, inner: string, outer: string): Promise<boolean> {
  const a = await page.locator(inner).boundingBox();
  const b = await page.locator(outer).boundingBox();
  if (a === null || b === null) return false;
  return a.x >= b.x && a.x < b.x + b.width && a.y >= b.y && a.y < b.y + b.height;
}
