import { readFileSync } from 'node:fs';
import { sections } from '../.vitepress/sidebar.ts';

const docs = new URL('../', import.meta.url);

const fileOf = (link: string): URL =>
  new URL(`.${link.endsWith('/') ? `${link}index` : link}.md`, docs);

/** The first paragraph of a page, in one line. */
function summaryOf(text: string): string {
  const paragraph =
    text
      .replace(/^---\n.*?\n---\n/s, '')
      .split('\n\n')
      .find((part) => /^[\p{L}`*]/u.test(part.trim())) ?? '';
  return paragraph
    .trim()
    .replaceAll('\n', ' ')
    .replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1');
}

/** `llms.txt` is a map of the site for language models; `llms-full.txt` has all that people wrote. */
export function llmsTexts(): { map: string; full: string } {
  const map = ['# Holdfast', ''];
  const full: string[] = [];
  map.push(
    '> Locks for Node services, across processes, that tell you when you no longer hold them.',
  );
  for (const { text: section, items } of sections) {
    map.push('', `## ${section}`, '');
    for (const { text: title, link } of items) {
      const text = readFileSync(fileOf(link), 'utf8');
      const about = link.startsWith('/api/')
        ? 'every export, from the doc comments'
        : summaryOf(text);
      map.push(`- [${title}](${link}): ${about}`);
      if (!link.startsWith('/api/')) full.push(text.trim());
    }
  }
  return { map: `${map.join('\n')}\n`, full: `${full.join('\n\n---\n\n')}\n` };
}
