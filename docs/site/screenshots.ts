/** Takes pictures of the built site's main pages at two widths, into `docs/screenshots`. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CHROMIUM_ARGS } from '@holdfast/test-servers/chromium-args';
import { chromium, type Page } from 'playwright-core';
import { serveSite } from './serve.ts';

const PAGES = [
  '',
  'how-it-works',
  'troubleshooting',
  'migrate/redlock',
  'comparison',
  'simulation',
];
const WIDTHS = [1280, 390];

const dist = fileURLToPath(new URL('../.vitepress/dist', import.meta.url));
const into = fileURLToPath(new URL('../screenshots/', import.meta.url));

const { url, close } = await serveSite(dist);

/** The simulation, with a planted bug that it has caught. */
async function showViolation(page: Page): Promise<void> {
  await page.getByRole('combobox', { name: 'Planted bug' }).selectOption({ index: 3 });
  await page.getByRole('button', { name: 'Run this seed' }).click();
  await page.getByText('Caught in seed').waitFor();
  await page.getByRole('spinbutton', { name: 'Seed' }).scrollIntoViewIfNeeded();
}

mkdirSync(into, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: [...CHROMIUM_ARGS],
});
for (const width of WIDTHS) {
  const page = await browser.newPage({ viewport: { width, height: width > 600 ? 900 : 844 } });
  for (const path of PAGES) {
    await page.goto(`${url}${path}`, { waitUntil: 'networkidle' });
    if (path === 'simulation') await showViolation(page);
    const name = path === '' ? 'home' : path.replaceAll('/', '-');
    await page.screenshot({ path: `${into}${name}-${width}.png` });
    const wide = await page.evaluate('document.documentElement.scrollWidth');
    console.log(`${name} at ${width}: ${String(wide)} wide`);
  }
}
await browser.close();
close();
