import { defineConfig } from 'vitepress';
import { homepage, repositoryLinks, slugOf } from './links.ts';
import { sections } from './sidebar.ts';

const description =
  'Locks for Node services, across processes, that tell you when you no longer hold them.';

export default defineConfig({
  title: 'Holdfast',
  description,
  lang: 'en',
  base: process.env['DOCS_BASE'] ?? '/',
  cleanUrls: true,
  srcExclude: ['README.md', 'test/**', 'site/**'],
  head: [['meta', { name: 'theme-color', content: '#2563a8' }]],
  markdown: { anchor: { slugify: slugOf }, config: repositoryLinks },
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
