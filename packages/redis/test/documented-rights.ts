import { readFile } from 'node:fs/promises';

/**
 * The rules of a user with no more rights than the README asks for.
 *
 * @param prefix the key prefix of the client
 */
export async function documentedRights(namespace = 'holdfast', prefix = ''): Promise<string[]> {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const block = /```acl\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const rules = block
    .replaceAll('<prefix>', prefix)
    .replaceAll('<namespace>', namespace)
    .split(/\s+/)
    .filter((word) => /^[~&+]/.test(word));
  if (rules.length < 20) throw new Error('The README has no list of rights any more.');
  return rules;
}
