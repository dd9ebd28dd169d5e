import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const docs = new URL('../', import.meta.url);

/** Makes a page of each package's README. Its links are mended when the page is rendered. */
export function writePackagePages(packages: readonly string[]): void {
  const pages = new URL('packages/', docs);
  rmSync(pages, { recursive: true, force: true });
  mkdirSync(pages);
  for (const name of packages) {
    const folder = new URL(`../packages/${name}/`, docs);
    const text = readFileSync(new URL('README.md', folder), 'utf8')
      // A picture for each colour scheme is one picture here: the reader's choice is not the system's.
      .replaceAll(/<picture>.*?(<img[^>]*>).*?<\/picture>/gs, '$1');
    writeFileSync(new URL(`${name}.md`, pages), `---\neditLink: false\n---\n\n${text}`);
    const pictures = new URL('screenshots/', folder);
    if (existsSync(pictures)) cpSync(pictures, new URL('screenshots/', pages), { recursive: true });
  }
}
