/** Takes pictures of the built site's main pages at two widths, into `docs/screenshots`. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const PAGES = ['', 'how-it-works', 'troubleshooting', 'migrate/redlock', 'comparison'];
const WIDTHS = [1280, 390];
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

const dist = fileURLToPath(new URL('../.vitepress/dist', import.meta.url));
const into = fileURLToPath(new URL('../screenshots/', import.meta.url));

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://site');
  const wanted = join(dist, pathname);
  const file = [wanted, `${wanted}.html`, join(wanted, 'index.html')].find(
    (path) => extname(path) !== '' && existsSync(path),
  );
  response.writeHead(file === undefined ? 404 : 200, {
    'content-type': TYPES[extname(file ?? '')] ?? 'application/octet-stream',
  });
  response.end(file === undefined ? undefined : readFileSync(file));
});
await new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', resolve);
});
const { port } = server.address() as AddressInfo;

mkdirSync(into, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
for (const width of WIDTHS) {
  const page = await browser.newPage({ viewport: { width, height: width > 600 ? 900 : 844 } });
  for (const path of PAGES) {
    await page.goto(`http://127.0.0.1:${port}/${path}`, { waitUntil: 'networkidle' });
    const name = path === '' ? 'home' : path.replaceAll('/', '-');
    await page.screenshot({ path: `${into}${name}-${width}.png` });
    const wide = await page.evaluate('document.documentElement.scrollWidth');
    console.log(`${name} at ${width}: ${String(wide)} wide`);
  }
}
await browser.close();
server.close();
