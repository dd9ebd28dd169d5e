import { readFileSync } from 'node:fs';

/** The code blocks of a page, of one language. */
export function codeOf(page: string, language: string): string[] {
  const text = readFileSync(new URL(`../${page}`, import.meta.url), 'utf8');
  const blocks = text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'));
  return [...blocks].map(([, code]) => code as string);
}
