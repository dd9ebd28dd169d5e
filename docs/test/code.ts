import { existsSync, readdirSync, readFileSync } from 'node:fs';

const repository = new URL('../../', import.meta.url);

/** The code blocks of a page, of one language. */
export function codeOf(page: string, language: string): string[] {
  const text = readFileSync(new URL(`docs/${page}`, repository), 'utf8');
  return blocksIn(text)
    .filter((block) => block.language === language)
    .map(({ code }) => code);
}

/** A block of code on a page that people read. */
export interface Block {
  /** Where it is, from the root of the repository. */
  readonly page: string;
  /** Where it is in the page, counted from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
}

function blocksIn(text: string): Omit<Block, 'page'>[] {
  const found = text.matchAll(/^( *)```(\w+)\n(.*?)^\1```$/gms);
  return [...found].map(({ index, 1: indent = '', 2: language = '', 3: code = '' }) => ({
    line: text.slice(0, index).split('\n').length + 1,
    language,
    code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
}

/** The pages in a folder, or the README of each folder in it. */
function pagesIn(folder: string, readmes = false): string[] {
  const entries = readdirSync(new URL(folder, repository), { withFileTypes: true });
  const names = readmes
    ? entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${name}/README.md`)
    : entries.map(({ name }) => name).filter((name) => name.endsWith('.md'));
  return names.map((name) => folder + name).filter((path) => existsSync(new URL(path, repository)));
}

/** Every page that people read: the documentation, and the README of each folder. */
const pages: readonly string[] = [
  'README.md',
  ...['docs/', 'docs/problems/', 'docs/migrate/'].flatMap((folder) => pagesIn(folder)),
  ...['packages/', 'apps/'].flatMap((folder) => pagesIn(folder, true)),
];

/** The TypeScript and JavaScript on all pages. */
export function allBlocks(): Block[] {
  return pages.flatMap((page) =>
    blocksIn(readFileSync(new URL(page, repository), 'utf8'))
      .filter(({ language }) => ['ts', 'typescript', 'js', 'tsx'].includes(language))
      .map(({ line, language, code }) => ({ page, line, language, code })),
  );
}
