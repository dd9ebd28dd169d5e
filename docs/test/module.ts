import { mkdirSync, writeFileSync } from 'node:fs';
import { codeOf } from './code.ts';

let count = 0;

/**
 * Imports a block of a page, as an instance of a service that has it as a module would. Its clients are
 * those of `clients.ts`, so that the test can close them.
 */
export async function instanceOf<T>(page: string, block: number, language = 'ts'): Promise<T> {
  const code = codeOf(page, language)[block];
  if (code === undefined) throw new Error(`${page} has no block ${block}`);
  const folder = new URL('.blocks/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const name = `${page.replaceAll(/\W+/g, '-')}-${block}-${process.pid}-${++count}.ts`;
  const file = new URL(name, folder);
  writeFileSync(file, code.replace("from 'ioredis'", "from '../clients.ts'"));
  return (await import(/* @vite-ignore */ file.pathname)) as T;
}
