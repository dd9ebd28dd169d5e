/**
 * Builds the site into `docs/.vitepress/dist`: the pages, one for each package's README, the API
 * reference from the doc comments, `llms.txt`. A link to a page or an anchor that does not exist fails
 * it. With `--dev` it serves the pages and follows what is edited; with `--page NAME --out FOLDER` it
 * builds that page alone, for its tests.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build, createServer } from 'vitepress';
import { homepage } from '../.vitepress/links.ts';
import { libraries, packages } from '../.vitepress/sidebar.ts';
import { deadAnchors } from './anchors.ts';
import { writeApi } from './api.ts';
import { llmsTexts } from './llms.ts';
import { writePackagePages } from './packages.ts';

const docs = fileURLToPath(new URL('../', import.meta.url));

const { values } = parseArgs({
  options: { dev: { type: 'boolean' }, page: { type: 'string' }, out: { type: 'string' } },
});

if (values.page !== undefined && values.out !== undefined) {
  process.env['DOCS_PAGE'] = values.page;
  await build(docs, { outDir: values.out });
  process.exit(0);
}

rmSync(`${docs}api`, { recursive: true, force: true });
mkdirSync(`${docs}api`);
writePackagePages(packages);
await writeApi(libraries, homepage);

if (values.dev === true) {
  const server = await createServer(docs);
  await server.listen();
  server.printUrls();
} else {
  await build(docs);
  const dist = `${docs}.vitepress/dist`;
  const { map, full } = llmsTexts();
  writeFileSync(`${dist}/llms.txt`, map);
  writeFileSync(`${dist}/llms-full.txt`, full);
  const dead = deadAnchors(dist, process.env['DOCS_BASE'] ?? '/');
  for (const line of dead) console.error(`dead link: ${line}`);
  // The bundler leaves workers behind that would keep the process alive.
  process.exit(dead.length === 0 ? 0 : 1);
}
