import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import type { MarkdownRenderer } from 'vitepress';

const repository = new URL('../../', import.meta.url);

/** Where the sources are, as the root's manifest has it. */
export const { homepage } = JSON.parse(
  readFileSync(new URL('package.json', repository), 'utf8'),
) as { homepage: string };

/** The file in the repository that a page of the site was made of. */
function sourceOf(page: string): string {
  const [, name] = /^packages\/([\w-]+)\.md$/.exec(page) ?? [];
  return name === undefined ? `docs/${page}` : `packages/${name}/README.md`;
}

/**
 * What a link of a page points to on the site. Links are written for readers of the repository, relative
 * to the file: those to pages stay on the site, those to other files lead to the repository.
 */
function siteLink(page: string, href: string): string {
  if (/^([a-z]+:|#|\/)/.test(href)) return href;
  const [path = '', anchor] = href.split('#');
  const hash = anchor === undefined ? '' : `#${anchor}`;
  const file = posix.normalize(posix.join(posix.dirname(sourceOf(page)), path));
  const [, packageName] = /^packages\/([\w-]+)(?:\/README\.md)?\/?$/.exec(file) ?? [];
  if (packageName !== undefined) return `/packages/${packageName}${hash}`;
  if (file === 'docs/README.md' || file === 'docs') return `/${hash}`;
  if (file.startsWith('docs/') && file.endsWith('.md')) {
    return `/${file.slice('docs/'.length, -'.md'.length)}${hash}`;
  }
  if (!existsSync(new URL(file, repository))) {
    throw new Error(`${sourceOf(page)} links to ${href}, which does not exist`);
  }
  return `${homepage}/blob/main/${file}${hash}`;
}

/** Languages of code blocks that the highlighter does not know. */
const UNKNOWN = new Set(['acl', 'cron']);

/** Rewrites the links of every page, before the site looks for dead ones. */
export function repositoryLinks(markdown: MarkdownRenderer): void {
  markdown.core.ruler.push('repository-links', ({ tokens, env }) => {
    const { relativePath } = env as { relativePath?: string };
    // A title is rendered apart, and what is generated from the sources links within itself.
    if (relativePath === undefined || relativePath.startsWith('api/')) return;
    for (const token of tokens) if (UNKNOWN.has(token.info)) token.info = 'text';
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null;
      if (href !== null) token.attrSet('href', siteLink(relativePath, href));
    }
  });
}

/** The anchor of a heading, as GitHub makes it, so that a link holds in both places. */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}
