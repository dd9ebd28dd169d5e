import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';
import { homepage, repositoryLinks, slugOf } from './links.ts';
import { sections } from './sidebar.ts';

const description =
  'Locks for Node services, across processes, that tell you when you no longer hold them.';

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="#2563a8" stroke-width="2">' +
  '<path d="M5 7V5a3 3 0 0 1 6 0v2"/><rect x="3" y="7" width="10" height="7" rx="1" fill="#2563a8"/></svg>';

/** Tests of a page build it alone, and what it links to is not there. */
const only = process.env['DOCS_PAGE'];
const others =
  only === undefined
    ? []
    : readdirSync(new URL('../', import.meta.url)).filter((name) => name !== `${only}.md`);

export default defineConfig({
  title: 'Holdfast',
  description,
  lang: 'en',
  base: process.env['DOCS_BASE'] ?? '/',
  cleanUrls: true,
  srcExclude: [
    'README.md',
    'test/**',
    'site/**',
    ...others.flatMap((name) => [name, `${name}/**`]),
  ],
  ignoreDeadLinks: only !== undefined,
  head: [
    ['meta', { name: 'theme-color', content: '#2563a8' }],
    ['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(icon)}` }],
  ],
  markdown: { anchor: { slugify: slugOf }, config: repositoryLinks },
  vite: {
    // The page of the simulation runs the packages' sources, in a worker.
    resolve: {
      conditions: ['@holdfast/source'],
      alias: [
        {
          find: /^node:.*/,
          replacement: fileURLToPath(new URL('theme/simulation/node.ts', import.meta.url)),
        },
      ],
    },
    worker: { format: 'es' },
    build: { target: 'es2022' },
  },
  themeConfig: {
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Guide', link: '/guide' },
      { text: 'Troubleshooting', link: '/troubleshooting' },
      { text: 'Comparison', link: '/comparison' },
      { text: 'API', link: '/api/core' },
    ],
    sidebar: sections.map(({ text, items }) => ({
      text,
      collapsed: text === 'Packages' || text === 'Reference',
      items: [...items],
    })),
    outline: 'deep',
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: homepage }],
    editLink: { pattern: `${homepage}/edit/main/docs/:path`, text: 'Improve this page' },
    footer: { message: 'MIT licensed' },
  },
});
