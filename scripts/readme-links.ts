/**
 * Makes the links of every published README absolute, for readers on npm, who have no repository around
 * it. Run on the way to publishing, on a checkout that is thrown away.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { posix } from 'node:path';

const { homepage } = JSON.parse(readFileSync('package.json', 'utf8')) as { homepage: string };

/** The text with its relative links and pictures pointing into the repository. */
function withAbsoluteLinks(text: string, folder: string): string {
  const absolute = (target: string, kind: 'blob' | 'raw'): string => {
    if (/^([a-z]+:|#)/.test(target)) return target;
    const [path = '', anchor] = target.split('#');
    const file = posix.join('packages', folder, path);
    if (!existsSync(file)) throw new Error(`packages/${folder}/README.md links to ${target}`);
    return `${homepage}/${kind}/main/${file}${anchor === undefined ? '' : `#${anchor}`}`;
  };
  return text
    .replaceAll(
      /(?<!!)\[((?:[^\][]|\[[^\]]*\])*)\]\(([^)\s]+)\)/g,
      (_, label: string, to: string) => {
        return `[${label}](${absolute(to, 'blob')})`;
      },
    )
    .replaceAll(/!\[([^\]]*)\]\(([^)\s]+)\)/g, (_, label: string, to: string) => {
      return `![${label}](${absolute(to, 'raw')})`;
    })
    .replaceAll(/\b(src|srcset)="([^"]+)"/g, (_, name: string, to: string) => {
      return `${name}="${absolute(to, 'raw')}"`;
    });
}

const check = process.argv.includes('--check');
for (const folder of readdirSync('packages')) {
  const manifest = JSON.parse(readFileSync(`packages/${folder}/package.json`, 'utf8')) as {
    private?: boolean;
  };
  if (manifest.private === true) continue;
  const file = `packages/${folder}/README.md`;
  const text = withAbsoluteLinks(readFileSync(file, 'utf8'), folder);
  if (!check) writeFileSync(file, text);
}
