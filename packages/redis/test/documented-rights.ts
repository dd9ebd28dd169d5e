import { readFile } from 'node:fs/promises';

/**
 * The rules of a user with no more rights than the README asks for.
 *
 * @param prefix the key prefix of the client
 * @param onCluster whether its client is one of a Cluster
 */
export async function documentedRights(
  namespace = 'holdfast',
  prefix = '',
  onCluster = false,
): Promise<string[]> {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/```acl\n([\s\S]*?)```/g)].map(([, block]) => block);
  if (blocks.length !== 2) throw new Error('The README does not list the rights of a Cluster.');
  const rules = blocks
    .slice(0, onCluster ? 2 : 1)
    .join(' ')
    .replaceAll('<prefix>', prefix)
    .replaceAll('<namespace>', namespace)
    .split(/\s+/)
    .filter((word) => /^[~&+]/.test(word));
  if (rules.length < 20) throw new Error('The README has no list of rights any more.');
  return rules;
}
