import { memoryStore, systemClock, type Locker } from '@holdfast/core';
import { useBrowser } from '@holdfast/test-servers/browser';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import type { BoardOptions } from '../src/index.ts';
import { hold, makeBoard, makeLocker, serve } from './kit.ts';

const open = useBrowser();
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function visit(
  locker: Locker,
  options: Partial<BoardOptions> = {},
  more: Parameters<typeof open>[1] = {},
): Promise<Page> {
  return open(await serve(makeBoard({ lockers: locker, ...options })), more);
}

const rows = (page: Page) => page.locator('.all tbody tr');
const operator: BoardOptions['authorize'] = (request) =>
  request.headers.get('x-role') === 'operator';
const asOperator = { headers: { 'x-role': 'operator' } };

describe('what is live', () => {
  test('holders come and go without a reload', async () => {
    const locker = makeLocker();
    const page = await visit(locker);
    await page.getByText('Nothing is held.').waitFor();
    const lock = await locker.lock('order:42');
    await page.getByRole('button', { name: 'order:42' }).waitFor();
    await expect.poll(() => page.locator('.facts').innerText()).toContain('1 held');
    await lock.release();
    await page.getByText('Nothing is held.').waitFor();
  });

  test('who waits is seen at the top, and is gone when nobody waits any more', async () => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const page = await visit(locker);
    await page.getByText('Nothing is stuck').waitFor();
    const waiting = locker.lock('order:42');
    const first = page.locator('.wanted-list li').first();
    await expect.poll(() => first.innerText()).toMatch(/order:42[^]*by web-1:17[^]*1 waiter/);
    await lock.release();
    await (await waiting).release();
    await page.getByText('Nothing is stuck').waitFor();
  });

  test('the timeline tells what happens, and can be paused', async () => {
    const locker = makeLocker();
    const page = await visit(locker);
    await (await locker.lock('first')).release();
    const timeline = page.locator('.timeline ol');
    await timeline.getByText('first').first().waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await (await locker.lock('second')).release();
    await page.getByRole('button', { name: 'Go on' }).click();
    await timeline.getByText('second').first().waitFor();
    await expect.poll(() => timeline.locator('li').first().innerText()).toContain('released');
  });

  test('the hottest keys are those that cost the most waiting', async () => {
    const locker = makeLocker();
    const page = await visit(locker);
    await locker.lock('hot');
    await locker.lock('hot', { wait: 50 }).catch(() => {});
    await page.locator('.hottest li').getByText('hot').waitFor();
  });

  test('a server that is gone is said to be gone', async () => {
    const made = makeBoard({ lockers: makeLocker() });
    const page = await open(await serve(made));
    await page.getByText('Nothing is stuck').waitFor();
    made.close();
    await page.getByText('The server does not answer').waitFor();
  });
});

describe('100,000 locks', () => {
  test('are paged through and filtered, while the page stays small', async () => {
    const locker = makeLocker();
    await hold(locker, 100_000);
    const page = await visit(locker);
    await expect.poll(() => rows(page).count()).toBe(100);
    const first = await rows(page).first().innerText();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('Page 2, from 101').waitFor();
    await expect.poll(() => rows(page).first().innerText()).not.toBe(first);
    await page.getByRole('button', { name: 'Back' }).click();
    await page.getByText('Page 1, from 1,').waitFor();
    await page.getByRole('searchbox').fill('order:00042');
    await expect.poll(() => rows(page).count()).toBe(1);
    await page.locator('.facts').getByText('100,000').waitFor({ timeout: 120_000 });
  });
});

describe('a release', () => {
  test('is not even offered to whom it is not allowed', async () => {
    const locker = makeLocker();
    await locker.lock('order:42');
    const page = await visit(locker, { authorize: operator });
    await page.getByRole('button', { name: 'order:42' }).click();
    await page.getByRole('dialog').getByText('Fencing token').waitFor();
    expect(await page.getByRole('button', { name: 'Release' }).count()).toBe(0);
  });

  test('needs a reason, tells the holder, and stands in the timeline', async () => {
    const locker = makeLocker();
    const lock = await locker.lock('order:42');
    const page = await visit(locker, { authorize: operator }, asOperator);
    await page.getByRole('button', { name: 'order:42' }).click();
    const button = page.getByRole('button', { name: 'Release' });
    await button.click();
    expect(lock.state).toBe('held');
    await page.getByLabel('Reason').fill('INC-7: it hangs');
    await button.click();
    await expect.poll(() => lock.state).toBe('lost');
    expect(lock.signal.reason).toMatchObject({ reason: 'forced' });
    await page.getByRole('button', { name: 'Close' }).click();
    await page.locator('.timeline').getByText('INC-7: it hangs').waitFor();
  });
});

test('a lock with several holders opens to all of them, and says that a release ends all', async () => {
  const locker = makeLocker();
  for (const label of ['worker-1', 'worker-2']) await locker.lock('pool', { limit: 2, label });
  const page = await visit(locker, { authorize: operator }, asOperator);
  const row = rows(page).filter({ hasText: 'pool' });
  await expect.poll(() => row.innerText()).toMatch(/worker-[12] and 1 other/);
  await page.getByRole('button', { name: 'pool' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('All 2 holders lose it').waitFor();
  const holders = dialog.locator('dt:has-text("Holder") + dd');
  await expect
    .poll(async () => (await holders.allInnerTexts()).toSorted())
    .toEqual(['worker-1', 'worker-2']);
});

test('with redact the page shows no key, and opens a lock all the same', async () => {
  const locker = makeLocker();
  await locker.lock('customer:4711');
  const page = await visit(locker, { redact: (key) => key.replace(/\d+/, '…') });
  await page.getByRole('button', { name: 'customer:…' }).click();
  await page.getByRole('dialog').getByText('Fencing token').waitFor();
  expect(await page.content()).not.toContain('4711');
});

test('keys and labels are text, whatever they hold', async () => {
  const locker = makeLocker({ label: '<img src=x onerror=alert(1)>' });
  const key = '"><script>alert(1)</script>';
  await locker.lock(key);
  const page = await visit(locker);
  await page.getByRole('button', { name: key }).click();
  await page.getByRole('dialog').getByText('<img src=x').waitFor();
  expect(await page.locator('img').count()).toBe(0);
});

test('all can be done with the keyboard alone', async () => {
  const locker = makeLocker();
  await locker.lock('order:1');
  const lock = await locker.lock('order:2');
  const page = await visit(locker, { authorize: operator }, asOperator);
  await rows(page).nth(1).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('order:2');
  await expect.poll(() => rows(page).count()).toBe(1);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByLabel('Reason').waitFor();
  // The focus stays in the dialog.
  for (let presses = 0; presses < 10; presses++) {
    const reason = page.locator('input:focus');
    if ((await reason.count()) > 0 && (await reason.getAttribute('maxlength')) !== null) break;
    await page.keyboard.press('Tab');
  }
  await page.keyboard.type('by hand');
  await page.keyboard.press('Enter');
  await expect.poll(() => lock.state).toBe('lost');
  await page.keyboard.press('Escape');
  await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
  // And comes back to where it was, or to the page where that is gone.
  expect(await page.evaluate('document.activeElement !== null')).toBe(true);
});

describe.each([
  ['light', false],
  ['dark', true],
])('in %s colours', (scheme, dark) => {
  test('the page is as accessible as axe can tell, and fits a phone', async () => {
    const { locker, begin } = night();
    const page = await visit(locker, { authorize: operator }, { dark, ...asOperator });
    await begin();
    await page.locator('.wanted-list li').first().waitFor();
    await rows(page).nth(5).waitFor();
    // A string: the page's policy lets no script in, and the debugger's own is not the page's.
    await page.evaluate(axe);
    const check = async (): Promise<string[]> => {
      const { violations } = await page.evaluate<{
        violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
      }>('axe.run()');
      return violations.map(
        ({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`,
      );
    };
    expect(await check()).toEqual([]);
    await page.getByRole('table').getByRole('button').first().click();
    await page.getByLabel('Reason').waitFor();
    expect(await check()).toEqual([]);
    await page.keyboard.press('Escape');
    await page.setViewportSize({ width: 380, height: 800 });
    const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
    expect(await page.evaluate(overflow)).toBe(0);
  });

  test('looks as the README shows it', async () => {
    const { locker, begin } = night();
    const page = await visit(locker, {}, { dark });
    await begin();
    await page.locator('.wanted-list li').nth(2).waitFor();
    await rows(page).nth(5).waitFor();
    await page.locator('.hottest li').nth(1).waitFor();
    const folder = process.env['HOLDFAST_SCREENSHOTS'];
    const path = folder === undefined ? undefined : `${folder}/board-${scheme}.png`;
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
    const picture = await page.screenshot(path === undefined ? {} : { path });
    expect(picture.length).toBeGreaterThan(20_000);
  });
});

test('the pictures of the README are there', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const pictures = [...readme.matchAll(/src(?:set)?="\.\/(.*?\.png)"/g)].map(([, file]) => file);
  expect(pictures).toHaveLength(2);
  for (const file of pictures) {
    const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
    expect(readFileSync(path).subarray(1, 4).toString()).toBe('PNG');
  }
});

/** A night on which something hangs. */
function night(): { locker: Locker; begin: () => Promise<void> } {
  let ago = 0;
  const clock = { ...systemClock, now: () => systemClock.now() - ago };
  const store = memoryStore({ clock });
  const locker = makeLocker({ store });
  const others = makeLocker({ store, label: 'reports-2:91' });
  const lock = (key: string, label: string, since: number): Promise<unknown> => {
    ago = since;
    return locker.lock(key, { label });
  };
  const begin = async (): Promise<void> => {
    await lock('invoice:2291', 'billing-3:4711', 14 * 60_000 + 7_000);
    await lock('export:nightly', 'reports-1:88', 95_000);
    await lock('account:17', 'payouts-2:1302', 21_000);
    const keys = ['cart:81f', 'order:5523', 'order:5524', 'refund:77', 'sku:9001', 'mail:12'];
    for (const [at, key] of keys.entries())
      await lock(key, `web-${(at % 4) + 1}:${2_000 + at}`, 4_000);
    ago = 0;
    const wait = (by: Locker, key: string, waiters: number): void => {
      for (let count = 0; count < waiters; count++) by.lock(key).catch(() => {});
    };
    wait(locker, 'invoice:2291', 7);
    wait(others, 'export:nightly', 2);
    wait(locker, 'account:17', 1);
    await locker.lock('sku:9001', { wait: 40 }).catch(() => {});
    await (await locker.lock('cart:12')).release();
  };
  return { locker, begin };
}
