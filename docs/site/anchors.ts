import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Links within the built site whose page or anchor does not exist, one line each. */
export function deadAnchors(folder: string, base: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const pages = new Map<string, { ids: ReadonlySet<string>; links: readonly string[] }>();
  for (const file of files.filter((name) => name.endsWith('.html'))) {
    const html = readFileSync(join(folder, file), 'utf8');
    const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id as string);
    const links = [...html.matchAll(/<a\b[^>]*\shref="([^"]+)"/g)].map(
      ([, href]) => href as string,
    );
    const path = file.replaceAll('\\', '/').replace(/(?:^|(?<=\/))index\.html$|\.html$/, '');
    pages.set(`${base}${path}`, { ids: new Set(ids), links });
  }
  const dead = new Set<string>();
  for (const [from, { links }] of pages) {
    for (const link of links) {
      const [path = '', hash] = decodeURI(link).split('#');
      if (hash === undefined || hash === '' || !(path === '' || path.startsWith(base))) continue;
      const page = pages.get(path === '' ? from : path.replace(/\.html$/, ''));
      if (page?.ids.has(hash) !== true) dead.add(`${from} links to ${link}`);
    }
  }
  return [...dead].toSorted();
}
